"""An attacker's line on loopback, for a remote on this machine: no root, no namespaces.

Each of the attacker's addresses is one of 127.0.0.0/8, where every address may be used. Packets
that the attacker cannot have sent, with other addresses or ICMP in them, are dropped.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
from collections.abc import Iterator

from testkit.attacker.addresses import is_own
from testkit.attacker.packets import Received, UdpAddress, read_udp
from testkit.attacker.rate import LineRate

SOCKETS_MAX = 200
"""Open sockets. The one that was opened first is closed then, and its answers are lost."""

LARGEST = 65_535
"""Bytes of the largest datagram."""


class LoopbackLine:
    """Sends and receives datagrams of the attacker's addresses.

    :param remote: the remote's address.
    :param megabits: the rate in Mbit/s of IP packets.
    :param now: the time, in seconds.
    """

    def __init__(self, remote: UdpAddress, megabits: float, now: float) -> None:
        self.packets = 0
        self._remote = (socket.inet_ntoa(remote.address), remote.port)
        self.rate = LineRate(megabits, now)
        """Says when the next packet may be sent."""
        self._sockets: dict[UdpAddress, socket.socket] = {}
        self._sources: dict[int, UdpAddress] = {}
        self._poll = select.poll()

    def send(self, packet: bytes) -> None:
        """Send the datagram of a packet, from the address that stands for its source."""
        self.rate.spend(len(packet))
        datagram = read_udp(packet)
        if datagram is None or not is_own(datagram.source.address):
            return
        with contextlib.suppress(OSError):  # the port is taken, or the remote's is closed
            self._socket(datagram.source).send(datagram.data)
            self.packets += 1

    def received(self, timeout: float) -> Iterator[Received]:
        """Wait for datagrams, and yield some of them.

        :param timeout: seconds to wait.
        """
        for number, _ in self._poll.poll(timeout * 1000):
            source = self._sources[number]
            with contextlib.suppress(OSError):  # the remote's port is closed
                data = self._sockets[source].recv(LARGEST)
                yield Received(UdpAddress(b"", 0), source, data)

    def close(self) -> None:
        """Close all sockets."""
        for source in tuple(self._sockets):
            self._close(source)

    def _socket(self, source: UdpAddress) -> socket.socket:
        sock = self._sockets.get(source)
        if sock is None:
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.setblocking(False)
            try:
                sock.bind((_stand_in(source.address), source.port))
                sock.connect(self._remote)
            except OSError:
                sock.close()
                raise
            self._sockets[source] = sock
            self._sources[sock.fileno()] = source
            self._poll.register(sock, select.POLLIN)
            if len(self._sockets) > SOCKETS_MAX:
                self._close(next(iter(self._sockets)))
        return sock

    def _close(self, source: UdpAddress) -> None:
        sock = self._sockets.pop(source)
        del self._sources[sock.fileno()]
        self._poll.unregister(sock)
        sock.close()


def _stand_in(address: bytes) -> str:
    """Return the address of loopback that stands for one of the attacker's."""
    return str(ipaddress.ip_address(bytes((127,)) + address[1:]))
