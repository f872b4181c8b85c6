"""What turns up late makes the thresholds of loss grow, and takes back what its loss has done."""

from __future__ import annotations

import pytest
from test_recovery import RTT, SIZE, Trace

from quictunnel.quic.engines.aioquic.recovery import Recovery
from quictunnel.quic.engines.aioquic.reordering import DELAYS, REMEMBERED_MAX, Lost, Reordering


def overtaken(congestion_control: str, *, by: int) -> Trace:
    """Return a recovery of which one packet, of number 10, was overtaken and declared lost."""
    trace = Trace(Recovery, congestion_control)
    for number in range(11 + by):
        trace.send(number, 0.001 * number, eliciting=True, in_flight=True)
    trace.acknowledge([range(10)], 0.0, RTT)
    trace.acknowledge([range(10), range(11, 11 + by)], 0.0, RTT + 0.01)
    assert trace.told[-1] == ("LOST", 10)
    return trace


def test_a_packet_that_turns_up_makes_the_next_one_be_waited_for() -> None:
    trace = overtaken("cubic", by=9)
    trace.acknowledge([range(20)], 0.0, RTT + 0.02)
    for number in range(20, 40):
        trace.send(number, 1.0, eliciting=True, in_flight=True)
    trace.acknowledge([range(20), range(21, 29)], 0.0, 1.0 + RTT)
    assert ("LOST", 20) not in trace.told
    trace.acknowledge([range(20), range(21, 40)], 0.0, 1.0 + RTT)
    assert ("LOST", 20) in trace.told


@pytest.mark.parametrize("congestion_control", ["cubic", "reno"])
def test_a_window_that_shrank_for_nothing_is_restored(congestion_control: str) -> None:
    trace = overtaken(congestion_control, by=9)
    shrunk = trace.recovery.congestion_window
    trace.acknowledge([range(20)], 0.0, RTT + 0.02)
    assert trace.recovery.congestion_window > shrunk
    assert trace.recovery.bytes_in_flight == 0


def test_a_new_path_begins_with_the_first_thresholds() -> None:
    trace = overtaken("bbr", by=9)
    trace.acknowledge([range(20)], 0.0, RTT + 0.02)
    trace.recovery.meet_new_path(1.0, datagram_size=SIZE)
    for number in range(20, 24):
        trace.send(number, 1.0, eliciting=True, in_flight=True)
    trace.acknowledge([range(20), range(21, 24)], 0.0, 1.0 + RTT)
    assert trace.told[-1] == ("LOST", 20)


def test_what_was_lost_by_the_time_makes_the_time_longer() -> None:
    reordering = Reordering()
    for delay in (*DELAYS[1:], DELAYS[-1]):
        lost = Lost(5, SIZE, 1.0, largest_acked=6)
        reordering.declare(lost)
        reordering.turn_up(lost, largest_acked=6)
        assert reordering.delay == delay


def test_what_is_remembered_is_bounded_in_number_and_in_time() -> None:
    reordering = Reordering()
    for number in range(2 * REMEMBERED_MAX):
        reordering.declare(Lost(number, SIZE, float(number), largest_acked=number + 3))
    assert len(reordering.lost) == REMEMBERED_MAX
    reordering.forget(2.0 * REMEMBERED_MAX, rtt=1.0)
    assert len(reordering.lost) <= 3
