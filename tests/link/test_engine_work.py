"""Work per datagram, counted in lines of Python and not in time: idle streams add none to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from aioquic.quic.rangeset import RangeSet
from pair import Network, Pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

FEW, MANY = 10, 10_000


def lines_of(work: Callable[[], object]) -> int:
    """Return how many lines of Python `work` runs through: each turn of a loop counts."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., object]:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def beside_idle_streams(count: int) -> tuple[Pair, int]:
    """Return a pair with `count` idle streams that have each carried a byte, and one to use."""
    pair = Pair.trusting(streams=count + 10)
    for _ in range(count):
        pair.client.open(b"!")
    pair.run(lambda: len(pair.server.inbox) == count)
    busy = pair.client.open(b"!")
    pair.run(lambda: busy in pair.server.inbox)
    pair.run_for(1.0)
    return pair, busy


def exchange(pair: Pair, stream: int) -> None:
    """Twenty times a question and an answer."""
    for _ in range(20):
        pair.client.engine.write(stream, b"question")
        pair.run_for(0.05)
        pair.server.engine.write(stream, b"answer")
        pair.run_for(0.05)


def test_idle_streams_cost_no_work() -> None:
    work = []
    for idle in (FEW, MANY):
        pair, busy = beside_idle_streams(idle)
        before = pair.client.sent + pair.server.sent
        work.append(lines_of(lambda pair=pair, busy=busy: exchange(pair, busy)))
        assert pair.client.sent + pair.server.sent - before < 100
    few, many = work
    assert many < 1.05 * few


@pytest.mark.parametrize("what", ["acknowledge", "send"])
def test_packets_in_flight_cost_no_work(what: str) -> None:
    """Each way of one more datagram, beside few and beside many that are in flight."""
    work = []
    for in_flight in (20, 2000):
        pair = Pair.trusting(Network(delay=0.05))
        loss = pair.client.engine._loss
        loss._cc.congestion_window = 10_000_000
        loss._pacer.update_rate(10_000_000, 1e-3)
        stream = pair.client.open(bytes(in_flight * 1300))
        pair.client.engine._streams[stream].max_stream_data_remote = 1 << 30
        engine = pair.client.engine
        while engine.unsent(stream):
            assert engine.transmit(pair.now)
            pair.now += 1e-4
        space = engine._spaces[max(engine._spaces, key=lambda epoch: epoch.value)]
        assert len(space.sent_packets) >= in_flight * 0.9
        if what == "send":
            engine.write(stream, bytes(1000))
            work.append(lines_of(lambda engine=engine, now=pair.now: engine.transmit(now)))
        else:
            first = min(space.sent_packets)
            ranges = RangeSet([range(first, first + 1)])
            work.append(
                lines_of(
                    lambda loss=loss, ranges=ranges, space=space, now=pair.now: (
                        loss.on_ack_received(
                            ack_rangeset=ranges, ack_delay=0.0, now=now, space=space
                        )
                    )
                )
            )
    few, many = work
    assert many <= few + 20
