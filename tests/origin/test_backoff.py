"""Delays double from 200 ms to 20 s, with jitter."""

from __future__ import annotations

import random

import pytest

from quictunnel.origin.backoff import JITTER, MAX_SHORT_RETRIES, Backoff


class Middle(random.Random):
    def uniform(self, a, b):
        return (a + b) / 2


def test_delays_double_up_to_the_longest():
    backoff = Backoff(Middle())
    delays = [backoff.next() for _ in range(9)]
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])


def test_a_reset_starts_again():
    backoff = Backoff(Middle())
    for _ in range(5):
        backoff.next()
        backoff.next(answered=False)
    backoff.reset()
    assert backoff.next() == pytest.approx(0.2)
    assert backoff.next(answered=False) == pytest.approx(0.2)


def test_delays_stay_short_for_minutes_while_the_remote_does_not_answer():
    backoff = Backoff(Middle())
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
    assert 20 * (1 - JITTER) <= min(delays) <= max(delays) <= 20 * (1 + JITTER)
