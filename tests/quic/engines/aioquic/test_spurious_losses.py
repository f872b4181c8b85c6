"""A packet taken for lost turns up: what its loss did to the congestion window is undone."""

from __future__ import annotations

import pytest
from pair import Network, Pair

from quictunnel.quic.settings import LinkSettings

MIB = 1024 * 1024


class Delaying(Network):
    """A network that delays one datagram from the client, so that later ones overtake it."""

    delayed: int | None = None
    """How many full datagrams pass before it; None: no datagram is delayed."""

    def arrivals(self, data: bytes, way: object, now: float) -> list[float]:
        times = super().arrivals(data, way, now)
        if self.delayed is not None and len(data) > 1000:
            self.delayed -= 1
            if self.delayed < 0:
                self.delayed = None
                return [at + 0.03 for at in times]
        return times


def duration(congestion: str, *, delayed: int | None) -> float:
    """Return how many seconds a transfer takes."""
    network = Delaying(delay=0.05)
    pair = Pair.trusting(network, settings=LinkSettings(congestion=congestion))
    network.delayed = delayed
    start = pair.now
    stream = pair.client.open(bytes(8 * MIB), fin=True)
    pair.run(lambda: stream in pair.server.fins)
    assert network.delayed is None
    return pair.now - start


@pytest.mark.parametrize("congestion", ["cubic", "reno"])
def test_slow_start_goes_on_after_a_loss_that_was_none(congestion: str) -> None:
    undisturbed = duration(congestion, delayed=None)
    assert duration(congestion, delayed=60) < 1.5 * undisturbed
