"""An outside address: the TCP sockets to which the clients of one service come. No bytes are read.

Binding and serving are two steps, so that every address is known to be free before the first client
is let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from quictunnel.config.addresses import EVERY_ADDRESS, HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.protocol.address import Address, literal, sockaddr_of
from quictunnel.relay import set_options
from quictunnel.remote.acceptor import Acceptor
from quictunnel.session.resolver import look_up

BACKLOG = 1024
"""Connections that the kernel may hold accepted until we take them; it may hold fewer itself."""


class _Ipv4(socket.socket):
    """A socket that knows its family and its type.

    Those of `socket` look both up at each question, and accept() asks for them at each client.
    """

    family = socket.AF_INET
    type = socket.SOCK_STREAM


class _Ipv6(_Ipv4):
    family = socket.AF_INET6


class OutsideListener:
    """The listening sockets of one service.

    :param listen: where to listen; the host `::` means every address, IPv6 and IPv4.
    :param arrival: makes the protocol of a client that has come.
    """

    def __init__(self, listen: HostPort, arrival: Callable[[], asyncio.Protocol]) -> None:
        self._listen = listen
        self._arrival = arrival
        self._address: Address | None = None
        self._sockets: list[socket.socket] = []
        self._accepting: list[Acceptor] = []

    @property
    def address(self) -> Address:
        """The address really bound, the first if there are more; from `bind` on."""
        if self._address is None:
            raise RuntimeError("the outside address is not bound")
        return self._address

    async def bind(self) -> None:
        """Bind the sockets; from then on the kernel takes clients, who wait for `serve`.

        :raises SettingsError: when the address is taken, not ours, or not allowed.
        """
        try:
            port = self._listen.port
            for family, host in await _hosts(self._listen):
                self._sockets.append(_bind(family, host, port))
                # Where the system chose the port, all the host's addresses share it.
                self._address = Address.of(self._sockets[0].getsockname())
                port = self._address.port
        except OSError as exc:
            self.close()
            raise listen_error("tcp", self._listen, exc) from exc

    def serve(self) -> None:
        """Let clients in."""
        self._accepting = [Acceptor(sock, self._arrival) for sock in self._sockets]

    def close(self) -> None:
        """Let nobody come any more; who has come stays."""
        for accepting in self._accepting:
            accepting.close()
        for sock in self._sockets:
            sock.close()


async def resolve_listen(carrier: str, listen: HostPort) -> str:
    """Return the literal address of a host to listen on, the first where it has more.

    :raises SettingsError: when the name leads nowhere.
    """
    try:
        return (await _hosts(listen))[0][1]
    except OSError as exc:
        raise listen_error(carrier, listen, exc) from exc


async def _hosts(listen: HostPort) -> list[tuple[int, str]]:
    """Return the families and addresses that a host stands for."""
    if listen.host == EVERY_ADDRESS:
        return [(socket.AF_INET6, "::") if _has_ipv6() else (socket.AF_INET, "0.0.0.0")]
    found = await look_up(
        listen.host, listen.port, kind=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, literal(sockaddr)) for family, _, _, _, sockaddr in found))


def _has_ipv6() -> bool:
    """Whether this machine's kernel has IPv6; containers often have not."""
    if not socket.has_ipv6:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.bind(("::", 0))
        return True
    return False


def _bind(family: int, host: str, port: int) -> socket.socket:
    kind = _Ipv6 if family == socket.AF_INET6 else _Ipv4
    sock = kind(family, socket.SOCK_STREAM)
    try:
        # Or a remote that was just stopped could not start again for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != EVERY_ADDRESS))
        # Accepted sockets inherit it: not a moment in which a crash would send FIN.
        set_options(sock)
        sock.bind(sockaddr_of(host, port))
        # Bound twice with SO_REUSEADDR is no error before one of the two listens.
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
