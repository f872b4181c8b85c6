"""The demo's network: it forwards the link's datagrams, and can be cut.

The kernel loses no datagram on loopback, so without it nothing could interrupt the demo's link.
"""

from __future__ import annotations

import asyncio
from functools import partial

from quictunnel.protocol.address import Address
from quictunnel.quic.engine import Path
from quictunnel.quic.path.udp import UdpSocket, open_bound, open_connected

SENDERS_MAX = 16
"""Sockets of the origin that are remembered. It has one or two at a time."""


class DemoNetwork:
    """A UDP forwarder on a free port of the loopback address.

    Each socket of the origin has a socket of its own towards the remote, as behind a NAT router.

    :param host: the address to listen on.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._target: Path | None = None
        self._front: UdpSocket | None = None
        self._backs: dict[Path, UdpSocket] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.TimerHandle | None = None

    def start(self, target: Address) -> None:
        """Forward datagrams to an address, until `close`."""
        self._loop = asyncio.get_running_loop()
        self._target = Path(target.host, target.port, b"")
        self._front = UdpSocket(open_bound(self._host, 0), connected=False)
        self._loop.add_reader(self._front.fileno(), self._forward_up)

    @property
    def address(self) -> Address:
        """Where an origin sends its datagrams, from `start` on."""
        if self._front is None:
            raise RuntimeError("the network has not been started")
        return Address(*self._front.getsockname())

    @property
    def is_cut(self) -> bool:
        """Whether all datagrams are dropped."""
        return self._end is not None

    def cut(self, seconds: float) -> None:
        """Drop all datagrams for some time from now. Then the origin has another address."""
        if self._loop is None:
            raise RuntimeError("the network has not been started")
        if self._end is not None:
            self._end.cancel()
        self._end = self._loop.call_later(seconds, self._mend)

    def close(self) -> None:
        """Stop. It may be called again."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._drop_senders()
        if self._front is not None:
            self._close(self._front)
            self._front = None

    # -- Inside

    def _mend(self) -> None:
        self._end = None
        self._drop_senders()  # as a laptop that joins another network

    def _forward_up(self) -> None:
        assert self._front is not None
        assert self._target is not None
        datagrams: dict[Path, list[tuple[bytes, Path]]] = {}
        for data, sender in _receive(self._front):
            datagrams.setdefault(sender, []).append((data, self._target))
        if not self.is_cut:
            for sender, sent in datagrams.items():
                self._back(sender).send(sent)

    def _back(self, sender: Path) -> UdpSocket:
        """Return the socket towards the remote for a sender, which becomes the latest one."""
        back = self._backs.pop(sender, None)
        if back is None:
            assert self._loop is not None
            assert self._target is not None
            back = UdpSocket(open_connected(self._target.host, self._target.port), connected=True)
            self._loop.add_reader(back.fileno(), partial(self._forward_down, back, sender))
        self._backs[sender] = back
        while len(self._backs) > SENDERS_MAX:
            self._close(self._backs.pop(next(iter(self._backs))))
        return back

    def _forward_down(self, back: UdpSocket, sender: Path) -> None:
        datagrams = [(data, sender) for data, _ in _receive(back)]
        if not self.is_cut and self._front is not None:
            self._front.send(datagrams)

    def _drop_senders(self) -> None:
        for back in self._backs.values():
            self._close(back)
        self._backs.clear()

    def _close(self, sock: UdpSocket) -> None:
        if self._loop is not None:
            self._loop.remove_reader(sock.fileno())
        sock.close()


def _receive(sock: UdpSocket) -> list[tuple[bytes, Path]]:
    """Return the received datagrams."""
    try:
        return [(data, Path(*path)) for data, path in sock.receive()]
    except OSError:
        return []  # an earlier datagram found no socket: its program has ended
