"""Work per datagram does not grow with what is in flight. Counted in lines of Python."""

from __future__ import annotations

import pytest
from aioquic.quic.rangeset import RangeSet
from pair import Network, Pair

from testkit.lines import lines_of


@pytest.mark.parametrize("what", ["acknowledge", "send"])
def test_packets_in_flight_cost_no_work(what: str) -> None:
    """Each way of one more datagram, beside few and beside many that are in flight."""
    work = []
    for in_flight in (20, 2000):
        pair = Pair.trusting(Network(delay=0.05))
        loss = pair.client.engine._loss
        loss._cc.congestion_window = 10_000_000
        loss.pacer.set_rate(1e10)
        stream = pair.client.open(bytes(in_flight * 1300))
        pair.client.engine._table.open[stream].max_stream_data_remote = 1 << 30
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
