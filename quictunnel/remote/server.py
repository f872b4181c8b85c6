"""The remote as a whole: its listeners and its sessions, its start and its end."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from quictunnel.config.addresses import HostPort, Network
from quictunnel.config.certificates import CertificateFiles, ServerCertificate
from quictunnel.config.hosts import HostName, HostProtocol
from quictunnel.config.networks import NetworkSet
from quictunnel.config.settings import RemoteSettings, differences
from quictunnel.config.tokens import Token
from quictunnel.events import DrainStarted, EventSink, RemoteStarted, discard_event
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Qlog
from quictunnel.quic.engines.selection import report_selected
from quictunnel.quic.link import LinkProtocol
from quictunnel.quic.listener import Listener, listen
from quictunnel.quic.settings import LinkSettings, ServerTls
from quictunnel.relay.readiness import readiness
from quictunnel.remote.admission import Admission
from quictunnel.remote.observation import (
    close_remote_client,
    remote_client_snapshots,
    service_snapshots,
)
from quictunnel.remote.outside_listener import resolve_listen
from quictunnel.remote.places import Places
from quictunnel.remote.registry import Registry
from quictunnel.remote.session import EXPIRED, RemoteSession
from quictunnel.remote.session_settings import RemoteSessionSettings
from quictunnel.session.clients import MAX_CLIENTS
from quictunnel.session.failure_reporter import FailureReporter
from quictunnel.session.observation import link_snapshots, unread_bytes
from quictunnel.snapshots import ClientSnapshot, LinkSnapshot, RoleSnapshot, ServiceSnapshot

if TYPE_CHECKING:
    from quictunnel.remote.websocket_server import WebSocketServer

CERTIFICATE_CHECK_INTERVAL = 5.0
"""Seconds between two checks of the certificate's files, each of which costs two stat calls."""

EXPIRY_CHECK_INTERVAL = 0.5
"""Seconds between two looks for tokens that have expired."""

REVOKED = "the remote no longer accepts this token"
"""The reason that an origin is given whose token is gone."""

APPLICABLE = {
    "origins_from",
    "ports",
    "hosts",
    "grants",
    "policies",
    "client_wait",
    "client_keepalive",
    "grace",
    "accept_proxy_protocol",
    "trusted_proxies",
}
"""The settings that `Remote.apply` applies, besides the tokens."""

STOPPED = "the remote was stopped"
"""The reason that origins and clients are given when the remote stops."""

NOT_STARTED = "the remote is starting"

STOPPING = "the remote is stopping"

FULL = "the limit of clients is reached"
"""Why a remote that accepts no client is not ready, here and above."""


class Remote:
    """A remote. After `start`, `drain` or `abort` ends it, and `wait_closed` waits for the end.

    It is an `ObservedRole`.

    :param tokens: the accepted tokens.
    :param certificates: the remote's certificate, read again when the files change.
    :param emit: receives the events.
    :param max_clients: the limit on clients. Each costs a file descriptor.
    :param reset_key: the key of stateless resets, by which origins notice a restart at once; None
        for a new one.
    :param qlog: records the connections of origins; None for no recording.
    :param link_socket: a bound UDP socket to use in place of `settings.listen`.
    :param outside_sockets: bound TCP sockets to use in place of `settings.outside`.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        tokens: tuple[Token, ...],
        certificates: CertificateFiles,
        *,
        emit: EventSink = discard_event,
        max_clients: int = MAX_CLIENTS,
        reset_key: bytes | None = None,
        qlog: Qlog | None = None,
        link_socket: socket.socket | None = None,
        outside_sockets: Sequence[socket.socket] = (),
    ) -> None:
        self._settings = settings
        self._emit = emit = self._failures = FailureReporter(emit)
        self._tokens = {token.id: token for token in tokens}
        self._grants = dict(settings.grants)
        self._certificates = certificates
        self._reset_key = reset_key
        self._qlog = qlog
        self._link_socket = link_socket
        self._registry: Registry[RemoteSession] = Registry(self._route_usable, self._route_free)
        self._admission = Admission(
            self._registry.find,
            client_wait=settings.client_wait,
            proxies=_proxies(settings),
            policies=settings.policies,
            max_clients=max_clients,
            emit=emit,
        )
        self._places = Places(
            settings,
            self._admission.new_client,
            self._admission.new_named_client,
            self._admission.new_local_proxy,
            reject_waiting=self._admission.reject_waiting,
            origins_at=self._registry.origins_at,
            emit=emit,
            outside_sockets=outside_sockets,
        )
        self._sessions: set[RemoteSession] = set()
        self._silent: set[RemoteSession] = set()
        """Silent sessions some of whose routes have become usable with another session."""
        self._listener: Listener | None = None
        self._websocket: WebSocketServer | None = None
        self._session_settings: RemoteSessionSettings | None = None
        self._certificate_watch: asyncio.Task[None] | None = None
        self._expiry_watch: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._is_stopping = False
        self._engine: str = settings.engine  # as configured, until the start
        self._started_at: float | None = None
        self._no_sessions = asyncio.Event()
        self._no_sessions.set()
        self._closed = asyncio.Event()

    @property
    def link_address(self) -> Address:
        """The UDP address for origins, from `start` on."""
        if self._listener is None:
            raise RuntimeError("the remote has not been started")
        return self._listener.address

    @property
    def outside_address(self) -> Address:
        """The TCP address for clients, from `start` on."""
        return self._places.outside_address

    @property
    def named_addresses(self) -> dict[HostProtocol, Address]:
        """The TCP addresses for clients of host names, by protocol, from `start` on."""
        return self._places.named_addresses

    @property
    def websocket_url(self) -> str | None:
        """The URL of the WebSocket, with the bound address; None if there is none."""
        return None if self._websocket is None else self._websocket.url

    def has_site(self, name: HostName) -> bool:
        """Return whether a service for HTTP is known that has this host name or covers it.

        A service for all names does not count. The service's origin may be gone.

        :param name: in the spelling of `host_names.normalise_host`.
        """
        return self._places.has_site(name)

    async def start(self) -> None:
        """Bind all addresses, then accept origins and clients.

        :raises SettingsError: an address is taken, not this machine's, or not allowed; or the
            engine cannot be used.
        """
        settings = self._settings
        try:
            self._engine = report_selected(settings.engine, settings.congestion, self._emit).name
            # Made now, so that a lack of file descriptors cannot prevent it later.
            readiness(asyncio.get_running_loop())
            await self._places.bind()
            self._session_settings = RemoteSessionSettings(
                instance=secrets.token_hex(8),
                tokens=self._tokens,
                routes=self._places,
                grants=self._grants,
                hold=settings.hold,
                linger=settings.linger,
            )
            if settings.websocket is not None:
                self._websocket = self._make_websocket(settings.websocket)
                await self._websocket.bind()
            self._listener = await self._listen()
        except BaseException:
            self._places.close()
            if self._websocket is not None:
                self._websocket.close()
            if self._link_socket is not None:
                self._link_socket.close()
            raise
        self._places.serve()
        if self._websocket is not None:
            self._websocket.serve(self._listener)
        self._started_at = asyncio.get_running_loop().time()
        self._certificate_watch = asyncio.create_task(
            self._watch_certificate(self._listener), name="certificate watch"
        )
        self._certificate_watch.add_done_callback(self._task_ended)
        self._expiry_watch = asyncio.create_task(self._end_expired(), name="expiry of tokens")
        self._expiry_watch.add_done_callback(self._task_ended)
        self._emit(RemoteStarted(str(self.link_address), str(self.outside_address)))

    async def wait_closed(self) -> None:
        """Wait for the end, and raise the error that caused it, if one did."""
        await self._closed.wait()
        if self._failure is not None:
            raise self._failure

    def apply(self, settings: RemoteSettings, tokens: tuple[Token, ...]) -> set[str]:
        """Apply changed settings. Clients of places that have not changed notice nothing.

        Origins whose token is gone, or has another secret, are disconnected. A port or host name
        that is no longer allowed is closed; its current clients may finish.

        :param tokens: the accepted tokens.
        :return: the names of the changed fields that a running remote cannot apply.
        """
        changed = differences(self._settings, settings) - {"tokens"}
        self._settings = replace(
            self._settings, **{name: getattr(settings, name) for name in APPLICABLE}
        )
        self._admission.apply(
            client_wait=settings.client_wait,
            proxies=_proxies(settings),
            policies=settings.policies,
        )
        if self._websocket is not None:
            self._websocket.proxies = NetworkSet(settings.trusted_proxies)
        if self._listener is not None and "origins_from" in changed:
            self._listener.accept_only(NetworkSet(settings.origins_from))
        ids = self._grants.keys() | settings.grants.keys()
        changed_ids = {key for key in ids if self._grants.get(key) != settings.grants.get(key)}
        self._grants.clear()
        self._grants.update(settings.grants)
        if self._session_settings is not None:
            self._session_settings.rates.apply(self._grants)
        self._accept_tokens(tokens)
        affected = {
            session
            for session in self._sessions
            if session.is_refused_a_service or session.token_id in changed_ids
        }
        for route in self._places.apply(self._settings):
            affected.update(self._registry.withdraw(route))
        for session in affected:
            session.judge_again()
        return changed - APPLICABLE

    def drain(self) -> None:
        """End in order: no new clients; current ones may finish within the grace."""
        if self._is_stopping:
            return
        clients = sum(len(session.clients) for session in self._sessions)
        self._emit(DrainStarted(clients=clients, grace=self._settings.grace))
        self._stop(lambda session: session.say_goodbye(STOPPED, self._settings.grace))

    def abort(self) -> None:
        """End at once: reset clients and close links."""
        self._stop(lambda session: session.abort(Code.GOODBYE, STOPPED))
        self._failures.close()

    # -- Observing (`ObservedRole`)

    def describe(self) -> RoleSnapshot:
        """Return the remote's state."""
        reason = self._why_not_ready()
        since, listener = self._started_at, self._listener
        listen = str(self._settings.listen if listener is None else listener.address)
        return RoleSnapshot(
            role="remote",
            name=listen,
            engine=self._engine,
            addresses=() if since is None else (f"udp {listen}", *self._describe_places()),
            age=0.0 if since is None else asyncio.get_running_loop().time() - since,
            clients=self._admission.count,
            max_clients=self._admission.max_clients,
            unread_bytes=unread_bytes(self._sessions),
            is_draining=self._is_stopping,
            is_ready=reason is None,
            reason=reason,
        )

    def _describe_places(self) -> Sequence[str]:
        url = self.websocket_url
        return (*(() if url is None else (f"websocket {url}",)), *self._places.describe())

    def list_services(self) -> Sequence[ServiceSnapshot]:
        """Return the services that connected origins ask for."""
        return tuple(self.iterate_services())

    def iterate_services(self) -> Iterator[ServiceSnapshot]:
        """Iterate over the same services."""
        return service_snapshots(self._sessions, self._admission, self._places.urls_of)

    def list_links(self) -> Sequence[LinkSnapshot]:
        """Return the links of origins, the oldest first."""
        return link_snapshots(
            (session, tuple(name for name, _ in session.served)) for session in self._sessions
        )

    def iterate_clients(self) -> Iterator[ClientSnapshot]:
        """Iterate over the clients that are connected now, waiting ones too, in no order."""
        return remote_client_snapshots(self._sessions, self._admission.pending_clients)

    def close_client(self, client_id: str) -> bool:
        """Reset a client's connection at both ends. Return False if there is no such client."""
        pending = self._admission.pending_clients
        return close_remote_client(self._sessions, pending, client_id)

    def _why_not_ready(self) -> str | None:
        """Return why no new client is accepted now; None if clients are."""
        if self._is_stopping:
            return STOPPING
        if self._started_at is None:
            return NOT_STARTED
        return FULL if self._admission.is_full else None

    # -- Inside

    def _accept_tokens(self, tokens: tuple[Token, ...]) -> None:
        """Accept these tokens only, and disconnect origins that were accepted with others."""
        accepted = {token.id: token for token in tokens}
        gone = {name for name, token in self._tokens.items() if accepted.get(name) != token}
        self._tokens.clear()
        self._tokens.update(accepted)
        for session in tuple(self._sessions):
            if session.token_id in gone:
                session.abort(Code.BAD_TOKEN, REVOKED)

    async def _listen(self) -> Listener:
        listen_at, sock = self._settings.listen, self._link_socket
        if sock is None:
            host, port = await resolve_listen("udp", listen_at), listen_at.port
        else:
            host, port = sock.getsockname()[:2]
        listener = await listen(
            host,
            port,
            protocol_factory=self._new_session,
            server_tls=_tls(self._certificates.current),
            settings=LinkSettings(
                hold=self._settings.hold,
                unread_limit=self._settings.unread_limit,
                engine=self._settings.engine,
                congestion=self._settings.congestion,
                reset_key=self._reset_key,
                qlog=self._qlog,
            ),
            sock=sock,
            emit=self._emit,
        )
        listener.accept_only(NetworkSet(self._settings.origins_from))
        return listener

    def _make_websocket(self, listen: HostPort) -> WebSocketServer:
        # Imported when it is used: most remotes need no HTTP parser.
        from quictunnel.remote.websocket_server import WebSocketServer  # noqa: PLC0415

        settings = self._settings
        return WebSocketServer(
            listen,
            settings.websocket_path,
            self._certificates,
            proxies=NetworkSet(settings.trusted_proxies),
            emit=self._emit,
        )

    def _new_session(self) -> LinkProtocol:
        if self._session_settings is None:
            raise RuntimeError("the remote has not been started")
        return RemoteSession(
            self._session_settings,
            self._registry,
            emit=self._emit,
            on_open=self._session_opened,
            on_close=self._session_closed,
        )

    def _session_opened(self, session: RemoteSession) -> None:
        if self._is_stopping:
            session.close(Code.GOODBYE, STOPPED)
        self._sessions.add(session)
        self._no_sessions.clear()

    def _session_closed(self, session: RemoteSession) -> None:
        self._sessions.discard(session)
        if not self._sessions:
            self._no_sessions.set()

    def _stop(self, end: Callable[[RemoteSession], None]) -> None:
        """Stop accepting, end each session, and close the rest once they have ended."""
        self._is_stopping = True
        self._places.close()
        self._admission.close(STOPPED)
        for session in tuple(self._sessions):
            end(session)
        if self._end is None:
            self._end = asyncio.create_task(self._finish(), name="end of the remote")
            self._end.add_done_callback(self._task_ended)

    async def _finish(self) -> None:
        """Close the rest once all sessions have ended, which their own time limits ensure."""
        await self._no_sessions.wait()
        for watch in (self._certificate_watch, self._expiry_watch):
            if watch is not None:
                watch.cancel()
        if self._websocket is not None:
            self._websocket.close()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        elif self._link_socket is not None:
            self._link_socket.close()
        self._failures.close()
        self._closed.set()

    async def _watch_certificate(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_INTERVAL)
            self._certificates.reload_if_changed(lambda renewed: self._use(listener, renewed))

    def _use(self, listener: Listener, certificate: ServerCertificate) -> None:
        """Use a renewed certificate for new links and WebSockets.

        :raises SettingsError: the engine, or TLS, cannot use it.
        """
        if self._websocket is not None:
            self._websocket.use_certificate(self._certificates)
        listener.set_certificate(_tls(certificate))

    async def _end_expired(self) -> None:
        """End the links of tokens that expire."""
        while True:
            await asyncio.sleep(EXPIRY_CHECK_INTERVAL)
            self._abort_expired()

    def _abort_expired(self) -> None:
        for session in tuple(self._sessions):
            if session.has_expired:
                session.abort(Code.NOT_ALLOWED, EXPIRED)

    def _route_usable(self, route: str) -> None:
        self._admission.forward_waiting(route)
        silent = {each for each in self._registry.sessions_at(route) if not each.is_usable}
        if silent and not self._silent:
            asyncio.get_running_loop().call_soon(self._move_clients)
        self._silent |= silent

    def _move_clients(self) -> None:
        """Move clients of silent origins, once for all routes that have become usable together."""
        silent, self._silent = self._silent, set()
        for session in silent:
            session.move_clients()

    def _route_free(self, route: str) -> None:
        if not self._is_stopping:
            self._places.free(route)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Let `wait_closed` raise an error that ended a background task."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failure = exc
            self._closed.set()


def _proxies(settings: RemoteSettings) -> Collection[Network]:
    return settings.trusted_proxies if settings.accept_proxy_protocol else ()


def _tls(certificate: ServerCertificate) -> ServerTls:
    return ServerTls(certificate.chain, certificate.key)
