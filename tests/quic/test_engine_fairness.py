"""Many streams share a path that is too narrow for them.

A stream with little to send does not wait for the others, and the others have equal shares.
"""

from __future__ import annotations

import pytest
from pair import Engines, Network, Pair

NARROW = {"delay": 0.01, "rate": 500_000, "queue": 0.05, "loss": 0.01, "seed": 3}
"""Half a megabyte a second."""


def test_a_keystroke_does_not_wait_for_forty_downloads(engines: Engines) -> None:
    pair = Pair.trusting(Network(**NARROW), streams=200, engines=engines)
    for _ in range(40):
        pair.client.open(bytes(500_000))  # 40 seconds of the path
    pair.run_for(2.0)
    for _ in range(5):
        began = pair.now
        stream = pair.client.open(b"a key")
        pair.run(lambda stream=stream: pair.server.inbox.get(stream) == b"a key")
        assert pair.now - began < 1.0


def test_a_pause_is_not_saved_up(engines: Engines) -> None:
    pair = Pair.trusting(Network(**NARROW), engines=engines)
    first, second = pair.client.open(b"begun"), pair.client.open(bytes(3_000_000))
    pair.run(lambda: len(pair.server.inbox.get(second, b"")) > 1_000_000)
    before = len(pair.server.inbox[second])
    pair.client.engine.write(first, bytes(1_000_000))
    pair.run(lambda: len(pair.server.inbox[first]) > 500_000)
    assert len(pair.server.inbox[second]) - before > 150_000


@pytest.mark.parametrize("piece", [1_000, 200_000])
def test_what_there_is_is_shared_by_bytes(engines: Engines, piece: int) -> None:
    """However large the pieces in which one of them writes."""
    pair = Pair.trusting(Network(**NARROW), engines=engines)
    whole, pieces = pair.client.open(bytes(4_000_000)), pair.client.open(b"")
    for _ in range(4_000_000 // piece):
        pair.client.engine.write(pieces, bytes(piece))
    pair.run_for(6.0)
    came = [len(pair.server.inbox.get(stream, b"")) for stream in (whole, pieces)]
    assert min(came) > 1_000_000
    assert max(came) < 1.5 * min(came)
