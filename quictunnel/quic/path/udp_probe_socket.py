"""Sends probes on a connected UDP socket of their own, and receives their answers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from quictunnel.quic.path.udp import forbid_fragmentation

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

BATCH = 16
"""Datagrams read per wake-up."""

MAX_ANSWER = 2048
"""Bytes read of a datagram. An answer is shorter."""


class ProbeChannel(Protocol):
    """Carries probes to one address."""

    def send(self, data: bytes) -> None:
        """Send a datagram, which may be lost."""

    def close(self) -> None:
        """Release the socket."""


class ProbeChannelFactory(Protocol):
    """Creates a channel for probes."""

    def __call__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        received: Callable[[bytes], None],
    ) -> ProbeChannel:
        """Return a channel.

        :param sock: a connected UDP socket, owned by the channel from now on.
        :param received: takes each datagram of the peer.
        """


class UdpProbeSocket:
    """A UDP socket on the event loop. Implements `ProbeChannel`.

    Errors count as losses: the probe that causes one, or that an ICMP message is about, is missed.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        received: Callable[[bytes], None],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._received = received
        sock.setblocking(False)
        forbid_fragmentation(sock)
        loop.add_reader(sock.fileno(), self._receive)

    def send(self, data: bytes) -> None:
        """See `ProbeChannel`."""
        for _ in range(2):  # the first call may report an ICMP message about an earlier probe
            with contextlib.suppress(OSError):
                self._sock.send(data)
                return

    def close(self) -> None:
        """See `ProbeChannel`."""
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _receive(self) -> None:
        for _ in range(BATCH):
            try:
                data = self._sock.recv(MAX_ANSWER)
            except OSError:  # nothing more, or an ICMP message
                return
            self._received(data)
            if self._sock.fileno() < 0:
                return  # closed meanwhile
