"""The remote as a whole: its listeners, its sessions, its start and its end.

What happens on a link is the sessions' business, what happens to a client that comes admission's.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable

from quictunnel.config.certificates import CertificateFiles, ServerCertificate
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.tokens import Token
from quictunnel.observe.event_log import EventLog
from quictunnel.observe.logging_setup import fact
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic import (
    LinkProtocol,
    LinkSettings,
    Listener,
    ServerTls,
    listen,
    report_selected,
)
from quictunnel.relay.readiness import readiness
from quictunnel.remote.admission import Admission
from quictunnel.remote.outside_listener import OutsideListener, resolve_listen
from quictunnel.remote.registry import Registry
from quictunnel.remote.session import RemoteSession
from quictunnel.remote.session_settings import RemoteSessionSettings
from quictunnel.session.file_limit import make_room
from quictunnel.session.link_reporter import LinkState

DEFAULT_SERVICE = "default"
"""The service whose outside address the settings name; they name one, the code knows many."""

CERTIFICATE_CHECK = 5.0
"""Seconds between two looks at the certificate's files, which cost two stat calls."""

SHUTTING_DOWN = "the remote is shutting down"

_log = logging.getLogger("quictunnel.remote")


class Remote:
    """A remote: let it `start`, then `wait_closed`; `drain` or `abort` end it.

    :param settings: what the user wants.
    :param tokens: the tokens of origins that may come.
    :param certificates: what the remote shows; read again when the files change.
    :param on_state: called when an origin's link falls silent, is back, or is lost; with its name.
    :param reset_key: from which it follows how origins learn that their link is known no more; None
        for a new one.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        tokens: tuple[Token, ...],
        certificates: CertificateFiles,
        *,
        on_state: Callable[[LinkState, str], None] = lambda *_: None,
        reset_key: bytes | None = None,
    ) -> None:
        self._settings = settings
        self._on_state = on_state
        self._tokens = {token.id: token for token in tokens}
        self._certificates = certificates
        self._reset_key = reset_key
        self._registry: Registry[RemoteSession] = Registry(self._service_usable)
        self._admission = Admission(
            self._registry.find,
            client_wait=settings.client_wait,
            proxies=settings.trusted_proxies if settings.accept_proxy_protocol else (),
            max_clients=make_room(),
        )
        self._outsides = {
            DEFAULT_SERVICE: OutsideListener(
                settings.outside, lambda: self._admission.arrival(DEFAULT_SERVICE)
            )
        }
        self._sessions: set[RemoteSession] = set()
        self._listener: Listener | None = None
        self._terms: RemoteSessionSettings | None = None
        self._certificate_watch: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._is_leaving = False
        self._no_sessions = asyncio.Event()
        self._no_sessions.set()
        self._closed = asyncio.Event()

    @property
    def link_address(self) -> Address:
        """Where origins reach it, from `start` on."""
        if self._listener is None:
            raise RuntimeError("the remote has not been started")
        return self._listener.address

    @property
    def outside_address(self) -> Address:
        """Where clients reach it, from `start` on."""
        return self._outsides[DEFAULT_SERVICE].address

    async def start(self) -> None:
        """Bind all addresses, and let origins and clients in.

        :raises SettingsError: when an address is taken, not this machine's, or not allowed; when
            the engine cannot be used.
        """
        settings = self._settings
        report_selected(settings.engine, settings.congestion, EventLog(_log))
        # What watches clients' sockets: made now, that no descriptor is missing for it later.
        readiness(asyncio.get_running_loop())
        try:
            for outside in self._outsides.values():
                await outside.bind()
            self._terms = RemoteSessionSettings(
                instance=secrets.token_hex(8),
                tokens=self._tokens,
                outside={name: outside.address for name, outside in self._outsides.items()},
                hold=settings.hold,
                linger=settings.linger,
            )
            self._listener = await listen(
                await resolve_listen("udp", settings.listen),
                settings.listen.port,
                protocol_factory=self._new_session,
                server_tls=_tls(self._certificates.current),
                settings=LinkSettings(
                    hold=settings.hold,
                    unread_limit=settings.unread_limit,
                    engine=settings.engine,
                    congestion=settings.congestion,
                    reset_key=reset_key_of(self._reset_key, settings.listen.port),
                ),
            )
        except BaseException:
            self._close_outsides()
            raise
        for outside in self._outsides.values():
            outside.serve()
        self._certificate_watch = asyncio.create_task(
            self._watch_certificate(self._listener), name="certificate watch"
        )
        self._certificate_watch.add_done_callback(self._task_ended)

    async def wait_closed(self) -> None:
        """Wait until it has ended, for whatever reason; raises what went wrong inside it."""
        await self._closed.wait()
        if self._failure is not None:
            raise self._failure

    def drain(self) -> None:
        """Begin to end in order.

        No new clients, origins are told, present clients finish within the grace and are cut after
        it; then all is closed.
        """
        if self._is_leaving:
            return
        self._is_leaving = True
        fact(
            _log,
            logging.INFO,
            "drain",
            clients=sum(len(session.clients) for session in self._sessions),
            grace=self._settings.grace,
        )
        self._close_outsides()
        self._admission.close(SHUTTING_DOWN)
        for session in tuple(self._sessions):
            session.say_goodbye(SHUTTING_DOWN, self._settings.grace)
        self._finish_soon()

    def abort(self) -> None:
        """End at once: clients are reset, links closed."""
        self._is_leaving = True
        self._close_outsides()
        self._admission.close(SHUTTING_DOWN)
        for session in tuple(self._sessions):
            session.abort(Code.GOODBYE, SHUTTING_DOWN)
        self._finish_soon()

    # -- Inside

    def _new_session(self) -> LinkProtocol:
        if self._terms is None:
            raise RuntimeError("a link before the start")
        return RemoteSession(
            self._terms,
            self._registry,
            on_made=self._session_made,
            on_end=self._session_ended,
            on_state=self._on_state,
        )

    def _session_made(self, session: RemoteSession) -> None:
        if self._is_leaving:
            session.close(Code.GOODBYE, SHUTTING_DOWN)
        self._sessions.add(session)
        self._no_sessions.clear()

    def _session_ended(self, session: RemoteSession) -> None:
        self._sessions.discard(session)
        if not self._sessions:
            self._no_sessions.set()

    def _close_outsides(self) -> None:
        for outside in self._outsides.values():
            outside.close()

    def _finish_soon(self) -> None:
        if self._end is None:
            self._end = asyncio.create_task(self._finish(), name="end of the remote")
            self._end.add_done_callback(self._task_ended)

    async def _finish(self) -> None:
        """Close what is left once the sessions have ended, which all of them do in time."""
        await self._no_sessions.wait()
        if self._certificate_watch is not None:
            self._certificate_watch.cancel()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        self._closed.set()

    async def _watch_certificate(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK)
            self._certificates.reload_if_changed(
                lambda renewed: listener.set_certificate(_tls(renewed))
            )

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Let an error of ours surface in `wait_closed`, rather than in nobody's ear."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failure = exc
            self._closed.set()

    def _service_usable(self, service: str) -> None:
        self._admission.serve(service)


def _tls(certificate: ServerCertificate) -> ServerTls:
    return ServerTls(certificate.chain, certificate.key)


def reset_key_of(kept: bytes | None, port: int) -> bytes | None:
    """Return the key of stateless resets of the remote at this UDP port.

    Remotes that share a state directory must not share a key: one of them would tell anybody who
    asks how a link of the other is ended (RFC 9000, 21.11).

    :param kept: what all of them keep.
    :param port: 0 for one that is another at each start, which gets a key of its own.
    """
    if kept is None or port == 0:
        return None
    return hmac.digest(kept, f"udp {port}".encode(), "sha256")
