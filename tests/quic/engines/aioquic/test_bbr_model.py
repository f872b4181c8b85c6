"""BBR's model of a path: when it takes less, when it makes room for others, and what a burst is."""

from __future__ import annotations

import pytest

from quictunnel.quic.engines.aioquic.bbr_model import Model

RTT = 0.1
RATE = 1_000_000
"""Bytes a second."""


def test_a_round_without_a_rate_lowers_nothing() -> None:
    model = Model(0.0)
    model.rates.best = RATE
    model._lower()
    assert model.bw == RATE


def test_of_a_queue_that_stays_who_has_most_yields_first_and_then_all() -> None:
    models = {}
    for rate in (RATE, 9 * RATE):
        models[rate] = model = Model(0.0)
        model.add_round_trip(RTT, 0.0)
        model.rates.best = model.rates.latest = rate
    yielded = {}
    for round_number in range(1, 15):
        for rate, model in models.items():
            model.add_round_trip(1.5 * RTT, 0.1)
            model._make_room(keeping=True, cruising=True)
            if model.bw < rate:
                yielded.setdefault(rate, round_number)
    assert yielded[9 * RATE] < yielded[RATE]
    assert all(0.5 * rate <= model.bw for rate, model in models.items())


def test_what_was_given_up_is_taken_back_by_as_much_for_all() -> None:
    gains = []
    for rate in (4 * RATE, 9 * RATE):
        model = Model(0.0)
        model.add_round_trip(RTT, 0.0)
        model.rates.best, model.bw_short = rate, rate / 2
        model._make_room(keeping=True, cruising=True)
        gains.append(model.bw - rate / 2)
    assert gains[0] == pytest.approx(gains[1])
    assert gains[0] > 0


def test_a_queue_that_is_going_is_not_yielded_to() -> None:
    def rate_after(waits: list[float]) -> float:
        model = Model(0.0)
        model.add_round_trip(RTT, 0.0)
        model.rates.best = model.rates.latest = 9 * RATE
        for wait in waits:
            model.add_round_trip((1 + wait) * RTT, 0.1)
            model._make_room(keeping=True, cruising=True)
        return model.bw / (9 * RATE)

    assert rate_after([0.8, 0.66, 0.5, 0.4, 0.3, 0.2]) == 1
    assert rate_after([0.2] * 14) > rate_after([0.8] * 14)


def test_losses_take_their_part_however_long_ago_all_was_taken_back() -> None:
    model = Model(0.0)
    model.add_round_trip(RTT, 0.0)
    model.rates.best, model.bw_short = 9 * RATE, 5 * RATE
    for _ in range(200):
        model._make_room(keeping=True, cruising=True)
    assert model.bw == 9 * RATE
    model.rates.latest = RATE
    model._lower()
    assert model.bw < 7 * RATE


def test_what_a_queue_gives_back_is_no_burst_of_acknowledgements() -> None:
    model = Model(0.0)
    model.trips.add(RTT, 0.0)
    model.rates.best = RATE
    model.bw_short = 0.7 * RATE  # the rest is left to others
    for turn in range(1, 100):
        model.update_extra_acked(int(0.8 * RATE * 0.01), 10**6, turn * 0.01)
    assert model.extra_acked <= 2 * 0.8 * RATE * 0.01
    model.update_extra_acked(50_000, 10**6, 1.0)
    assert model.extra_acked > 40_000
