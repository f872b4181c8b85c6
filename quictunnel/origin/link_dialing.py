"""Makes one link: over UDP to the addresses of the remote's name, or over its WebSocket.

UDP starts first. Both may run at the same time, and the first complete handshake wins.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import OriginSettings
from quictunnel.config.via import Via
from quictunnel.errors import LinkError, LinkFailed, Refused
from quictunnel.events import EventSink, discard_event
from quictunnel.origin.diagnosis import (
    Failure,
    explain_lookup_timeout,
    explain_unreachable,
    explain_websocket,
)
from quictunnel.origin.remote_websocket import RemoteWebSocket
from quictunnel.origin.session import OriginSession
from quictunnel.quic.dialer import NO_REPORTS, dial, dial_over
from quictunnel.quic.happy_eyeballs import first_to_succeed
from quictunnel.quic.link import Link
from quictunnel.quic.path.path_reports import PathReports
from quictunnel.quic.settings import ClientTls, LinkSettings
from quictunnel.session.resolver import resolve

ATTEMPT_TIMEOUT = 10.0
"""Seconds for name lookup and handshake, over all addresses. Several packets may be lost."""

WEBSOCKET_DELAY = 0.5
"""Seconds that UDP has before the WebSocket is tried beside it, unless UDP fails earlier."""


def tls_for(settings: OriginSettings) -> ClientTls:
    """Return how to check the remote's certificate: by pin, CA file, token or the system's store.

    With a token, any certificate will do: the remote's proof is bound to the TLS session.
    """
    name = settings.remote.host.partition("%")[0]  # without a scope
    if settings.pin is not None:
        return ClientTls(server_name=name, verify="none", pin=settings.pin)
    if settings.ca is not None:
        return ClientTls(server_name=name, verify="ca", ca=settings.ca)
    return ClientTls(server_name=name, verify="system" if settings.token is None else "none")


class WebSocketFailed(LinkFailed):
    """A link could not be established over the WebSocket."""


class RemoteAddresses:
    """The addresses of the remote in one attempt: those of its name for UDP, and its WebSocket.

    Each makes at most one link. A peer that answers at one of them and is not the remote therefore
    does not keep the origin from the others.

    :param make_session: makes a session. It is called for each address that is dialled.
    :param time_limit: seconds for `dial`.
    :param via: the kinds of path that may carry the link.
    :param websocket: the WebSocket; None if there is none. It is required if `via` is WEBSOCKET.
    :param websocket_delay: seconds that UDP has before the WebSocket is tried beside it.
    :param reports: takes what happens to the links' paths later.
    :param emit: receives the events of the links' paths.
    """

    def __init__(
        self,
        target: HostPort,
        *,
        make_session: Callable[[], OriginSession],
        client_tls: ClientTls,
        settings: LinkSettings,
        time_limit: float = ATTEMPT_TIMEOUT,
        via: Via = Via.AUTO,
        websocket: RemoteWebSocket | None = None,
        websocket_delay: float = WEBSOCKET_DELAY,
        reports: PathReports = NO_REPORTS,
        emit: EventSink = discard_event,
    ) -> None:
        self._target = target
        self._make_session = make_session
        self._client_tls = client_tls
        self._settings = settings
        self._time_limit = time_limit
        self._via = via
        self._websocket = None if via is Via.UDP else websocket
        self._websocket_delay = websocket_delay
        self._reports = reports
        self._emit = emit
        self._hosts: list[str] | None = None
        self._linked: set[str] = set()
        self._has_linked_websocket = False

    async def dial(self) -> OriginSession:
        """Return a session whose link is made, with the first address that answers.

        An address that has made a link before is left out.

        :raises LinkFailed: no address answers or is left, or the name does not resolve.
        :raises Refused: the peer's certificate or protocol is not what the settings require.
        """
        deadline = asyncio.get_running_loop().time() + self._time_limit
        attempts: list[Callable[[], Coroutine[Any, Any, OriginSession]]] = []
        if self._via is not Via.WEBSOCKET:
            attempts.append(self._dial_addresses)
        websocket = None if self._has_linked_websocket else self._websocket
        if websocket is not None:
            attempts.append(partial(self._dial_websocket, websocket, deadline))
        if not attempts:
            raise LinkFailed("the WebSocket has led to another peer than the remote")
        try:
            return await first_to_succeed(
                attempts, discard=lambda made: made.abort(), stagger=self._websocket_delay
            )
        except ExceptionGroup as group:
            by_path = sorted(group.exceptions, key=lambda exc: isinstance(exc, WebSocketFailed))
            unreachable = LinkFailed("; ".join(map(str, by_path)))
            raise _select_error(group, unreachable) from group

    async def _dial_addresses(self) -> OriginSession:
        """Return a session whose link is made over UDP.

        :raises LinkFailed: as `dial`.
        :raises Refused: as `dial`.
        """
        failures: dict[str, Failure] = {}
        hosts: list[str] = []

        async def attempt(host: str) -> tuple[str, OriginSession]:
            try:
                return host, await self._dial_host(host)
            except LinkFailed as exc:
                failures[host] = Failure(host, exc)
                raise

        try:
            async with asyncio.timeout(self._time_limit):
                if self._hosts is None:
                    self._hosts = await resolve(self._target)
                hosts = [host for host in self._hosts if host not in self._linked]
                if not hosts:
                    raise LinkFailed(f"{self._target.host} has no other address")
                host, session = await first_to_succeed(
                    [partial(attempt, host) for host in hosts],
                    discard=lambda made: made[1].abort(),
                )
        except TimeoutError as exc:
            if self._hosts is None:
                sentence = explain_lookup_timeout(self._target, self._time_limit)
                raise LinkFailed(sentence) from exc
            timed_out = [failures.get(host) or Failure(host, exc) for host in hosts]
            raise LinkFailed(explain_unreachable(self._target, timed_out)) from exc
        except socket.gaierror as exc:
            raise LinkFailed(f"{self._target.host} does not resolve: {exc.strerror}") from exc
        except ExceptionGroup as group:
            unreachable = LinkFailed(explain_unreachable(self._target, [*failures.values()]))
            raise _select_error(group, unreachable) from group
        self._linked.add(host)
        return session

    async def _dial_host(self, host: str) -> OriginSession:
        started_at = asyncio.get_running_loop().time()
        session = self._make_session()
        link = await dial(
            host,
            self._target.port,
            protocol=session,
            client_tls=self._client_tls,
            settings=self._settings,
            within=self._time_limit,
            hosts=self._hosts or (),
            resolve=partial(resolve, self._target),
            opener=None if self._websocket is None else self._websocket.opener,
            via=self._via,
            reports=self._reports,
            emit=self._emit,
        )
        if self._websocket is not None:
            try:
                await _confirm(link, started_at + self._time_limit)
            except BaseException:
                session.abort()
                raise
        return session

    async def _dial_websocket(self, websocket: RemoteWebSocket, deadline: float) -> OriginSession:
        """Return a session whose link is made over the WebSocket.

        :param deadline: the time of the event loop at which it fails.
        :raises WebSocketFailed: it cannot be opened, or the handshake fails.
        :raises Refused: as `dial`.
        """
        if (failure := websocket.recent_failure) is not None:
            raise WebSocketFailed(failure)
        session = self._make_session()
        try:
            await dial_over(
                websocket.opener,
                self._target.port,
                protocol=session,
                client_tls=self._client_tls,
                settings=self._settings,
                within=max(0.0, deadline - asyncio.get_running_loop().time()),
                hosts=self._hosts or (),
                resolve=partial(resolve, self._target),
                via=self._via,
                reports=self._reports,
                emit=self._emit,
            )
        except LinkFailed as exc:
            reason = explain_websocket(websocket.url, exc, websocket.proxy)
            websocket.record_failure(reason)
            raise WebSocketFailed(reason) from exc
        websocket.reset()
        self._has_linked_websocket = True
        return session


async def _confirm(link: Link, deadline: float) -> None:
    """Wait until the peer has completed the handshake as well.

    Before that, a link cannot move to another path (RFC 9000, 9). On a network that loses nearly
    all packets, this end's last message of the handshake is often lost, and the link would be stuck
    on UDP.

    :raises LinkFailed: the peer does not answer before the deadline, a time of the event loop.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bool] = loop.create_future()

    def set_result(is_answered: bool) -> None:
        if not answered.done():
            answered.set_result(is_answered)

    link.ask(max(0.0, deadline - loop.time()), set_result)
    if not await answered:
        raise LinkFailed("the peer did not complete the handshake")


def _select_error(group: ExceptionGroup[Exception], unreachable: LinkFailed) -> Exception:
    """Return the one error to raise for those of all addresses: a refusal, a bug, or the rest.

    :param unreachable: the error to raise if no address could be reached.
    """
    refusals, others = group.split(Refused)
    if refusals is not None:
        return refusals.exceptions[0]
    if others is not None and others.split(LinkError)[1] is None:
        return unreachable
    return group
