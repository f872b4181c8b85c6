"""The remote's WebSocket: how origins reach it whose network blocks UDP.

Each WebSocket becomes a path of the listener of links. The limits on peers that have not proven
themselves are the same as for UDP.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from quictunnel.config.addresses import HostPort, is_this_machine
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.files import quoted
from quictunnel.config.networks import NO_NETWORKS, NetworkSet
from quictunnel.errors import SettingsError
from quictunnel.events import DropKind, EventSink, InternalErrorOccurred, PeerDropped
from quictunnel.protocol.address import Address
from quictunnel.protocol.source import format_source, source_of
from quictunnel.quic.drop_reason import DropReason
from quictunnel.quic.handshake_limits import HandshakeLimits
from quictunnel.quic.listener import DISPLACED
from quictunnel.quic.path.datagram_path import DatagramPath
from quictunnel.quic.path.websocket_handshake import OpeningRequest
from quictunnel.quic.path.websocket_path import SENT_TOO_MUCH
from quictunnel.quic.proven_sources import ProvenSources
from quictunnel.quic.unproven_links import UnprovenLinks
from quictunnel.quic.unproven_places import UnprovenPlaces
from quictunnel.relay.tcp_options import send_fin_at_close
from quictunnel.remote.forwarded_for import forwarded_peer
from quictunnel.remote.outside_listener import OutsideListener
from quictunnel.remote.websocket_connection import WebSocketConnection
from quictunnel.remote.websocket_limits import (
    MAX_CONNECTIONS,
    MAX_OPENING_BEHIND_PROXIES,
    MAX_UNPROVEN,
)

TOO_MANY = DropReason(DropKind.LINKS, "too many connections to the WebSocket")
TOO_MANY_OF_PROXIES = DropReason(DropKind.QUEUE, "too many connections of proxies to the WebSocket")

_ALPN = ["http/1.1"]
"""A WebSocket is opened with HTTP/1.1 here (RFC 6455)."""


class LinkListener(Protocol):
    """The listener of links, as the WebSocket sees it."""

    @property
    def proven_sources(self) -> ProvenSources:
        """The sources with a recent proof, on any path."""

    def accepts_host(self, host: str) -> bool:
        """Return whether links of an IP address are accepted, and report it if they are not."""

    def attach_path(
        self,
        path: DatagramPath,
        peer: Address,
        *,
        on_proven: Callable[[], None],
        on_closed: Callable[[str], None],
    ) -> Callable[[str], None]:
        """Accept links on an open path. Return a function that closes it."""


class WebSocketServer:
    """Accepts connections at one TCP address, and opens WebSockets at one path of its URL.

    Every other request gets status 404.

    :param listen: the address. At a loopback address there is no TLS, because an HTTP proxy on this
        machine has it.
    :param path: the path of the URL.
    :param certificates: the certificate of TLS.
    :param proxies: networks of HTTP proxies whose `X-Forwarded-For` is believed.
    :param emit: consumes `PeerDropped`.
    :raises SettingsError: TLS cannot use the certificate.
    """

    def __init__(
        self,
        listen: HostPort,
        path: str,
        certificates: CertificateFiles,
        *,
        proxies: NetworkSet = NO_NETWORKS,
        emit: EventSink,
    ) -> None:
        self.proxies = proxies
        """Networks of HTTP proxies that are believed from now on."""
        self._path = path
        self._emit = emit
        self._has_tls = not is_this_machine(listen.host)
        self._context: ssl.SSLContext | None = None
        self.use_certificate(certificates)
        self._sockets = OutsideListener(listen, self._take, emit=emit, option="--websocket")
        self._links: LinkListener | None = None
        self._count = 0
        """Connections, those with a proven link included."""
        self._connections: set[WebSocketConnection] = set()
        """Those without a proven link."""
        self._behind_proxies: set[WebSocketConnection] = set()
        """Of these, those of trusted proxies whose request has not come."""
        self._placed: UnprovenLinks[WebSocketConnection] = UnprovenLinks()
        self._use_sources(ProvenSources())

    @property
    def url(self) -> str:
        """The URL with the bound address, from `bind` on."""
        scheme = "wss" if self._has_tls else "ws"
        return f"{scheme}://{self._sockets.address}{self._path}"

    def use_certificate(self, certificates: CertificateFiles) -> None:
        """Use what the files contain for new connections.

        :raises SettingsError: TLS cannot use it. The previous certificate stays in use.
        """
        if not self._has_tls:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(_ALPN)
        try:
            context.load_cert_chain(certificates.cert, certificates.key)
        except OSError as exc:  # includes SSLError
            raise SettingsError(
                f"the certificate {quoted(certificates.cert)} cannot be used for --websocket: "
                f"{exc.strerror or exc}"
            ) from exc
        self._context = context

    async def bind(self) -> None:
        """Bind the address.

        :raises SettingsError: it is taken, not this machine's, or not allowed.
        """
        await self._sockets.bind()

    def serve(self, links: LinkListener) -> None:
        """Accept connections, and give their WebSockets to the listener of links."""
        self._links = links
        self._use_sources(links.proven_sources)
        self._sockets.serve()

    def close(self) -> None:
        """Stop accepting. WebSockets that carry proven links stay open."""
        self._sockets.close()
        for connection in tuple(self._connections):
            connection.abort()

    def _use_sources(self, proven: ProvenSources) -> None:
        """Use the sources with a recent proof for the limits on new connections."""
        self._proven = proven
        self._places = UnprovenPlaces(self._placed, proven, MAX_UNPROVEN)
        self._handshakes = HandshakeLimits(proven, asyncio.get_running_loop().time())

    # New connections

    def _take(self, sock: socket.socket, sockaddr: tuple[Any, ...]) -> None:
        """Serve an accepted socket, or close it if a limit is reached."""
        send_fin_at_close(sock)
        peer = Address.of(sockaddr)
        if self._count >= MAX_CONNECTIONS:
            self._report(peer, TOO_MANY)
            sock.close()
            return
        connection = WebSocketConnection(
            peer,
            self._path,
            self._context,
            admit=self._admit,
            opened=self._opened,
            timed_out=self._timed_out,
            failed=self._failed,
            ended=self._ended,
        )
        if self._is_proxy(peer):
            if len(self._behind_proxies) >= MAX_OPENING_BEHIND_PROXIES:
                self._report(peer, TOO_MANY_OF_PROXIES)
                sock.close()
                return
            self._behind_proxies.add(connection)
        elif not self._place(connection):
            sock.close()
            return
        self._count += 1
        self._connections.add(connection)
        connection.start(sock)

    def _place(self, connection: WebSocketConnection) -> bool:
        """Give a connection a place, perhaps that of another one. Return whether it has one."""
        if self._links is None or not self._links.accepts_host(connection.peer.host):
            return False
        now = connection.loop.time()
        source = source_of(connection.peer)
        busiest = self._places.busiest(now)
        reason = self._handshakes.obstacle(source, now)
        reason = reason or self._places.obstacle(source, busiest, now)
        if reason is not None:
            self._report(connection.peer, reason)
            return False
        displaced = self._places.displaced_by(source, busiest, now)
        if displaced is not None:
            self._report(displaced.peer, DISPLACED)
            self._placed.remove(displaced)
            displaced.abort()
        self._placed.add(connection, source, now, is_validated=True)
        self._handshakes.start(source, now)
        return True

    def _admit(self, connection: WebSocketConnection, request: OpeningRequest) -> bool:
        """Find out who is behind a proxy. Return whether the WebSocket may be opened."""
        if connection not in self._behind_proxies:
            return connection in self._placed
        self._behind_proxies.remove(connection)
        connection.peer = forwarded_peer(connection.peer, request.forwarded_for, self.proxies)
        return self._place(connection)

    def _opened(self, connection: WebSocketConnection, path: DatagramPath) -> Callable[[str], None]:
        assert self._links is not None
        return self._links.attach_path(
            path,
            connection.peer,
            on_proven=lambda: self._link_proven(connection),
            on_closed=lambda reason: self._path_closed(connection, reason),
        )

    def _path_closed(self, connection: WebSocketConnection, reason: str) -> None:
        if reason == SENT_TOO_MUCH:
            self._report(connection.peer, DropReason(DropKind.TOO_MUCH, reason))
        connection.path_closed()

    def _link_proven(self, connection: WebSocketConnection) -> None:
        """Free the place of a connection, which carries a proven link now."""
        self._forget(connection)
        source = source_of(connection.peer)
        self._handshakes.forgive(source)
        self._proven.link_proven(source)
        connection.proven()

    def _timed_out(self, connection: WebSocketConnection, reason: str) -> None:
        self._report(connection.peer, DropReason(DropKind.TIMEOUT, reason))

    def _failed(self, exc: BaseException) -> None:
        self._emit(InternalErrorOccurred("accepting a WebSocket", exc, None))

    def _ended(self, connection: WebSocketConnection) -> None:
        """Forget a connection, and remember for a while that its source was proven."""
        self._count -= 1
        if connection in self._connections:
            self._forget(connection)
            return
        source = source_of(connection.peer)
        self._proven.link_ended(source, source, connection.loop.time())

    def _forget(self, connection: WebSocketConnection) -> None:
        self._connections.discard(connection)
        self._behind_proxies.discard(connection)
        if connection in self._placed:
            self._placed.remove(connection)

    def _is_proxy(self, peer: Address) -> bool:
        return ipaddress.ip_address(peer.host) in self.proxies

    def _report(self, peer: Address, reason: DropReason) -> None:
        self._emit(PeerDropped(format_source(source_of(peer)), reason.sentence, reason.kind))
