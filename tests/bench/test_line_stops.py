"""Suspensions of processes in virtual time: when they end, and how many datagrams follow."""

from __future__ import annotations

from bench.line.stops import AT_ONCE, LONGEST, SHORTEST, Stops


def test_a_process_without_suspensions_is_always_awake():
    stops = Stops(0, seed=1)
    assert [stops.awake(at) for at in (0.0, 7.5, 3.0)] == [0.0, 7.5, 3.0]
    assert stops.portion(100) == 100


def test_a_suspended_process_continues_at_the_end_of_the_suspension():
    stops = Stops(20, seed=1)
    ticks = [tick / 10_000 for tick in range(100_000)]
    waits = [stops.awake(at) - at for at in ticks]
    assert min(waits) == 0
    assert SHORTEST < max(waits) <= LONGEST
    still = sum(wait > 0 for wait in waits) / len(waits)
    assert 0.07 < still < 0.18, "20 times a second for 7 ms, and awake 50 ms between"
    assert waits == [stops.awake(at) - at for at in ticks], "looking ahead changes nothing"
    assert stops.portion(100) == AT_ONCE
    assert stops.portion(2) == 2
