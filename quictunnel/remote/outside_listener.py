"""A TCP address of the remote, and its listening sockets: that of one service, for example."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import TypeAlias

from quictunnel.config.addresses import EVERY_ADDRESS, HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink
from quictunnel.protocol.address import Address, literal, sockaddr_of
from quictunnel.relay.tcp_options import (
    OPTIONS_ARE_INHERITED,
    KeepAlive,
    set_keep_alive,
    set_options,
)
from quictunnel.remote.acceptor import CLIENT_KEEPALIVE, Acceptor, TakeConnection
from quictunnel.session.resolver import look_up

BACKLOG = 1024
"""Connections that may wait in the kernel to be accepted. The system may allow fewer."""


SocketAddress: TypeAlias = tuple[int, str]
"""An address family and a literal address of it."""


class _TcpSocket(socket.socket):
    """A socket with a constant family and type.

    `socket.socket` looks both up at each access, and accept() accesses them for each client.
    """

    family = socket.AF_INET
    type = socket.SOCK_STREAM


class _TcpSocketOverIpv6(_TcpSocket):
    family = socket.AF_INET6


class OutsideListener:
    """The listening sockets of one address.

    Binding and accepting are two steps: all addresses are known to be free before the first client
    is accepted.

    :param listen: the address; the host `::` means every address, IPv6 and IPv4.
    :param take: takes each accepted connection.
    :param sockets: bound sockets to use in place of that address; closed with the listener.
    :param option: the option that sets the address, for errors.
    :param keep_alive: when the kernel probes clients.
    """

    def __init__(
        self,
        listen: HostPort,
        take: TakeConnection,
        *,
        emit: EventSink,
        sockets: Sequence[socket.socket] = (),
        option: str = "--outside",
        keep_alive: KeepAlive = CLIENT_KEEPALIVE,
    ) -> None:
        self._listen = listen
        self._take = take
        self._emit = emit
        self._option = option
        self._keep_alive = keep_alive
        self._address: Address | None = None
        self._sockets = list(sockets)
        # Connections may wait in the queue of a socket that was passed in without its options.
        self._is_inherited = OPTIONS_ARE_INHERITED and not sockets
        self._acceptors: list[Acceptor] = []

    @property
    def address(self) -> Address:
        """The bound address, the first of several; from `bind` on."""
        if self._address is None:
            raise RuntimeError("the outside address is not bound")
        return self._address

    @property
    def addresses(self) -> list[Address]:
        """All bound addresses, from `bind` on."""
        return [Address.of(sock.getsockname()) for sock in self._sockets]

    async def bind(self) -> None:
        """Bind the sockets. From then on the kernel queues clients. After an error, call `close`.

        :raises SettingsError: the address is taken, not this machine's, or not allowed; a socket
            that was passed in is not a TCP socket.
        """
        addresses = [] if self._sockets else await self.resolve()
        try:
            self.bind_at(addresses)
        except OSError as exc:
            raise listen_error("tcp", self._listen, exc, self._option) from exc

    async def resolve(self) -> list[SocketAddress]:
        """Return the families and literal addresses of the host to listen on.

        :raises SettingsError: the name has no address.
        """
        try:
            return await _resolve(self._listen)
        except OSError as exc:
            raise listen_error("tcp", self._listen, exc, self._option) from exc

    def bind_at(self, addresses: Sequence[SocketAddress]) -> None:
        """Bind the sockets as `bind` does, at addresses that `resolve` has returned.

        :raises OSError: the port is taken, or not allowed.
        :raises SettingsError: a socket that was passed in is not a TCP socket.
        """
        self._open(addresses)
        for sock in self._sockets:
            _start_listening(sock, self._keep_alive)
        self._address = Address.of(self._sockets[0].getsockname())

    def serve(self) -> None:
        """Accept clients."""
        self._acceptors = [
            Acceptor(
                sock,
                self._take,
                self._emit,
                is_inherited=self._is_inherited,
                keep_alive=self._keep_alive,
            )
            for sock in self._sockets
        ]

    def set_keep_alive(self, keep_alive: KeepAlive) -> None:
        """Set when the kernel probes clients that connect from now on."""
        self._keep_alive = keep_alive
        for sock in self._sockets:
            set_keep_alive(sock, keep_alive)
        for acceptor in self._acceptors:
            acceptor.keep_alive = keep_alive

    def close(self) -> None:
        """Stop accepting clients. Accepted clients stay connected."""
        for acceptor in self._acceptors:
            acceptor.close()
        for sock in self._sockets:
            sock.close()
        self._acceptors.clear()
        self._sockets.clear()

    def _open(self, addresses: Sequence[SocketAddress]) -> None:
        port = self._listen.port
        for family, host in addresses:
            sock = (_TcpSocketOverIpv6 if family == socket.AF_INET6 else _TcpSocket)(
                family, socket.SOCK_STREAM
            )
            self._sockets.append(sock)
            # Without it, a remote could not be restarted for a minute.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != EVERY_ADDRESS))
            sock.bind(sockaddr_of(host, port))
            port = sock.getsockname()[1]  # all addresses share a port that the system chose


def _start_listening(sock: socket.socket, keep_alive: KeepAlive) -> None:
    if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise SettingsError("a socket passed in for clients is not a TCP socket")
    # Accepted sockets inherit these options, so a crash at any moment sends RST instead of FIN.
    set_options(sock, keep_alive)
    sock.listen(BACKLOG)
    sock.setblocking(False)


async def resolve_listen(carrier: str, listen: HostPort) -> str:
    """Return the literal address to listen on, the first if the name has several.

    :raises SettingsError: the name has no address.
    """
    try:
        return (await _resolve(listen))[0][1]
    except OSError as exc:
        raise listen_error(carrier, listen, exc) from exc


async def _resolve(listen: HostPort) -> list[SocketAddress]:
    """Return the families and literal addresses of a host."""
    if listen.host == EVERY_ADDRESS:
        return [(socket.AF_INET6, "::") if _has_ipv6() else (socket.AF_INET, "0.0.0.0")]
    found = await look_up(
        listen.host, listen.port, kind=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, literal(sockaddr)) for family, _, _, _, sockaddr in found))


def _has_ipv6() -> bool:
    """Return whether this machine's kernel has IPv6. In containers it is often missing."""
    if not socket.has_ipv6:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.bind(("::", 0))
        return True
    return False
