"""What leaves keeps to a rate, in bursts no longer than a late timer needs."""

from __future__ import annotations

import pytest

from quictunnel.quic.engines.aioquic.pacer import (
    BURST_DATAGRAMS,
    CAUGHT_UP_ON,
    CAUGHT_UP_ON_MOST,
    IDLE_AFTER,
    LATENESS,
    PACING_GAIN,
    TIMER_GRANULARITY,
    Pacer,
)

SIZE = 1200
RTT = 0.05
WINDOW = 100 * SIZE
RATE = 4_000_000.0
"""Bytes a second."""


@pytest.fixture
def pacer() -> Pacer:
    pacer = Pacer(max_datagram_size=SIZE)
    pacer.update_rate(WINDOW, RTT)
    return pacer


def sent_within(pacer: Pacer, seconds: float, *, start: float = 0.0) -> int:
    """Return how many full datagrams leave by when the pacer says so."""
    now, count = start, 0
    while now < start + seconds:
        at = pacer.next_send_time(now)
        if at is None:
            pacer.update_after_send(now, SIZE)
            count += 1
        else:
            assert at > now
            now = at + 1e-9
    return count


def burst(pacer: Pacer, now: float) -> int:
    """Return how many full datagrams leave at once."""
    count = 0
    while pacer.next_send_time(now) is None:
        pacer.update_after_send(now, SIZE)
        count += 1
    return count


def test_without_a_round_trip_time_nothing_waits() -> None:
    pacer = Pacer(max_datagram_size=SIZE)
    for _ in range(1000):
        assert pacer.next_send_time(0.0) is None
        pacer.update_after_send(0.0, SIZE)


def test_it_keeps_to_a_little_more_than_a_window_a_round_trip(pacer: Pacer) -> None:
    rate = PACING_GAIN * WINDOW / RTT / SIZE
    assert sent_within(pacer, 10.0) == pytest.approx(10.0 * rate, rel=0.01)


def test_what_leaves_at_once_is_bounded(pacer: Pacer) -> None:
    sent_within(pacer, 1.0)
    for quiet in (1.0, 60.0):
        assert burst(pacer, 100.0 + quiet) <= BURST_DATAGRAMS + 1


def test_fast_paths_are_not_paced_by_the_clock() -> None:
    pacer = Pacer(max_datagram_size=SIZE)
    pacer.update_rate(1000 * SIZE, 0.001)
    rate = PACING_GAIN * 1000 / 0.001
    assert sent_within(pacer, TIMER_GRANULARITY) >= rate * TIMER_GRANULARITY


def test_a_loop_that_is_late_makes_up_for_it() -> None:
    pacer = Pacer(max_datagram_size=SIZE)
    pacer.set_rate(1000.0 * SIZE, 200 * SIZE)
    now, count = 0.0, 0
    while now < 10.0:
        at = pacer.next_send_time(now)
        if at is None:
            pacer.update_after_send(now, SIZE)
            count += 1
        else:
            now = at + 0.010
    assert count == pytest.approx(10_000, rel=0.02)


@pytest.mark.parametrize(
    ("window", "most"),
    [(10, LATENESS * RATE / SIZE), (400, 400 * CAUGHT_UP_ON), (10_000, CAUGHT_UP_ON_MOST / SIZE)],
)
def test_what_is_caught_up_on_is_bounded_by_the_window(window: int, most: float) -> None:
    pacer = Pacer(max_datagram_size=SIZE)
    pacer.set_rate(RATE, window * SIZE)
    assert burst(pacer, 0.0) <= TIMER_GRANULARITY * RATE / SIZE + 1  # and more waits
    assert burst(pacer, IDLE_AFTER / 2) == pytest.approx(most, abs=1.5)
    # That it is late by more, it is not: there was nothing to send.
    assert burst(pacer, 10.0) <= TIMER_GRANULARITY * RATE / SIZE + 1


def test_small_datagrams_count_for_what_they_are(pacer: Pacer) -> None:
    count = 0
    while pacer.next_send_time(0.0) is None:
        pacer.update_after_send(0.0, 100)
        count += 1
    assert count > 10 * BURST_DATAGRAMS


def test_time_that_goes_back_gives_nothing(pacer: Pacer) -> None:
    sent_within(pacer, 1.0)
    while pacer.next_send_time(1.0) is None:
        pacer.update_after_send(1.0, SIZE)
    assert pacer.next_send_time(0.5) is not None
