"""Delays double from 200 ms to 20 s, with jitter, and are longer after unproven refusals."""

from __future__ import annotations

import random

import pytest

from quictunnel.origin.backoff import JITTER, MAX_SHORT_RETRIES, STEADY_REFUSALS, Backoff


class Longest(random.Random):
    def uniform(self, a, b):
        return b


def test_delays_double_up_to_the_longest():
    backoff = Backoff(Longest())
    delays = [backoff.next() for _ in range(9)]
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])


def test_a_reset_starts_again():
    backoff = Backoff(Longest())
    for _ in range(5):
        backoff.next()
        backoff.next(answered=False)
    backoff.reset()
    assert backoff.next() == pytest.approx(0.2)
    assert backoff.next(answered=False) == pytest.approx(0.2)


def test_delays_stay_short_for_minutes_while_the_remote_does_not_answer():
    backoff = Backoff(Longest())
    delays = [backoff.next(answered=False) for _ in range(MAX_SHORT_RETRIES + 9)]
    assert delays[:4] == pytest.approx([0.2, 0.4, 0.6, 0.6])
    assert 170 < sum(delays[:MAX_SHORT_RETRIES]) < 200
    assert delays[MAX_SHORT_RETRIES:] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])


def test_jitter_keeps_origins_out_of_step():
    backoff = Backoff(random.Random(7))
    for _ in range(20):
        backoff.next()
    delays = {backoff.next() for _ in range(50)}
    assert len(delays) == 50
    assert 20 * (1 - JITTER) <= min(delays) <= max(delays) <= 20


def test_refusals_without_a_proof_are_retried_every_20_seconds_and_after_ten_minutes_rarely():
    backoff = Backoff(Longest())
    delays = [backoff.next_refused() for _ in range(STEADY_REFUSALS + 5)]
    assert delays[:STEADY_REFUSALS] == [20] * STEADY_REFUSALS
    assert delays[STEADY_REFUSALS:] == [40, 80, 160, 300, 300]
    backoff.reset()
    assert backoff.next_refused() == 20


def test_refusals_without_a_proof_do_not_lengthen_other_delays():
    backoff = Backoff(Longest())
    for _ in range(STEADY_REFUSALS + 5):
        backoff.next_refused()
    assert backoff.next() == pytest.approx(0.2)
    assert backoff.next_refused() == 300
