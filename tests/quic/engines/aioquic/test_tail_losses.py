"""The last packet of an answer is lost: ACKs of other packets show that soon."""

from __future__ import annotations

from pair import Network, Pair

DELAY = 0.05
"""Seconds, one way."""

ANSWER = bytes(1100)
"""One packet, too large for the copies that are sent of small writes."""


def test_a_lost_answer_is_repeated_before_the_probe_timeout() -> None:
    """The ACKs behind the answer ask for ACKs in turn, and these show that it was overtaken."""
    pair = Pair.trusting(Network(delay=DELAY))
    stream, other = pair.client.open(b"!"), pair.client.open(b"!")
    pair.run(lambda: len(pair.server.inbox) == 2)
    for delay in (4 * DELAY, DELAY) * 4:  # round-trip times that vary: a long probe timeout
        pair.network.delay = delay
        pair.server.write(stream, ANSWER)
        pair.run_for(1.0)
    timeout = pair.server.engine.pto
    pair.client.inbox.clear()

    pair.network.cut = True
    pair.server.write(stream, ANSWER)
    pair.run_for(0.0)
    pair.network.cut = False
    answered_at = pair.now
    for _ in range(10):
        pair.client.write(other, b"more")
        pair.run_for(0.01)
    pair.run(lambda: pair.client.inbox.get(stream) == ANSWER, limit=5)
    assert timeout > 8 * DELAY
    assert pair.now - answered_at < 6 * DELAY
