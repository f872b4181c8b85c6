"""Sends over many connections at a time, and counts the bytes where they arrive."""

from __future__ import annotations

import contextlib
import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testkit.connections import TcpPeer

_PIECE = bytes(64 * 1024)


@dataclass(frozen=True)
class Flow:
    """The result of `flow`."""

    received: tuple[int, ...]
    """The bytes that each receiver got."""
    seconds: float
    """The time in which they came."""

    @property
    def megabits(self) -> float:
        """The rate of all connections together, in Mbit/s."""
        return sum(self.received) * 8 / self.seconds / 1e6


def flow(
    senders: Sequence[TcpPeer],
    receivers: Sequence[TcpPeer],
    seconds: float,
    *,
    warm_up: float = 0.0,
) -> Flow:
    """Send on every connection as fast as it takes bytes, for so many seconds.

    :param senders: one end of each connection.
    :param receivers: the other ends.
    :param warm_up: seconds of sending before anything is counted. Without it, the time starts
        before the first byte is sent.
    """
    received = dict.fromkeys(receivers, 0)
    with selectors.DefaultSelector() as selector:
        for peers, event in ((senders, selectors.EVENT_WRITE), (receivers, selectors.EVENT_READ)):
            for peer in peers:
                peer.sock.setblocking(False)
                selector.register(peer.sock, event, peer)
        if warm_up:
            _run(selector, received, warm_up)
            received = dict.fromkeys(receivers, 0)
        elapsed = _run(selector, received, seconds)
    return Flow(tuple(received.values()), elapsed)


def _run(selector: selectors.BaseSelector, received: dict[TcpPeer, int], seconds: float) -> float:
    """Send and receive for so many seconds, and return how many it were."""
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        for key, event in selector.select(start + seconds - now):
            peer = key.data
            with contextlib.suppress(BlockingIOError):
                if event == selectors.EVENT_READ:
                    received[peer] += len(peer.sock.recv(len(_PIECE)))
                else:
                    peer.sock.send(_PIECE)
    return now - start
