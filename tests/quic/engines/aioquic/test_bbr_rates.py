"""Which samples of the rate count for BBR, and for how long."""

from __future__ import annotations

import pytest

from quictunnel.quic.engines.aioquic.bbr_rates import Decline, Rates


def test_of_a_round_counts_what_half_of_its_samples_reach() -> None:
    rates = Rates()
    rates.end_startup()
    for rates_of_round in ([90.0, 100.0, 110.0], [100.0, 101.0, 150.0, 0.0, 99.0, 98.0]):
        for rate in rates_of_round:
            rates.add(rate, app_limited=False)
        rates.end_round(0.0)
        assert (rates.best, rates.latest) == (100.0, 100.0)


def test_in_startup_each_sample_counts_and_then_most_of_the_best() -> None:
    rates = Rates()
    for rates_of_round in ([10.0, 20.0, 30.0], [40.0, 70.0, 90.0], [60.0], [10.0]):
        for rate in rates_of_round:
            rates.add(rate, app_limited=rate == 10.0)
            assert rates.latest == rates.best >= rate
        rates.end_round(0.0)
    assert rates.best == 90.0
    rates.end_startup()
    assert rates.best == 81.0


def test_a_round_with_too_little_to_send_counts_only_if_it_was_better() -> None:
    rates = Rates()
    rates.end_startup()
    for rate, best in ((100.0, 100.0), (80.0, 100.0), (120.0, 120.0)):
        rates.advance_cycle()
        rates.add(rate, app_limited=rate != 100.0)
        rates.add(rate, app_limited=False)
        rates.end_round(0.0)
        assert rates.best == best


def test_a_best_rate_stands_for_two_cycles() -> None:
    rates = Rates()
    rates.end_startup()
    bests = []
    for rate in (100.0, 80.0, 70.0):
        rates.add(rate, app_limited=False)
        rates.end_round(0.0)
        rates.advance_cycle()
        bests.append(rates.best)
    rates.add(60.0, app_limited=False)
    rates.end_round(0.0)
    assert [*bests, rates.best] == [100.0, 100.0, 80.0, 70.0]


def given_up(every: float, rates: list[float]) -> tuple[float, float] | None:
    """Return after how many seconds 1,000 is given up for what, given a round each `every`."""
    decline = Decline()
    for number, rate in enumerate(rates):
        instead = decline.add(rate, 1000.0, number * every)
        if instead is not None:
            return number * every, instead
    return None


def test_a_rate_that_nothing_comes_near_is_given_up_for_the_best_of_six_rounds() -> None:
    rates = [1000.0, 210.0, 200.0, 220.0, 200.0, 190.0, 200.0]
    assert given_up(0.25, rates) == (1.5, 220.0)


def test_what_is_short_for_less_than_a_second_is_a_pause() -> None:
    assert given_up(0.125, [200.0] * 8) is None
    assert given_up(0.125, [200.0] * 9) == (1.0, 200.0)


def test_who_gets_half_of_it_or_has_it_back_for_a_round_goes_by_it() -> None:
    assert given_up(0.25, [500.0] * 100) is None
    assert given_up(0.25, [200.0, 200.0, 200.0, 200.0, 900.0] * 20) is None


@pytest.mark.parametrize(("app_limited", "best"), [(False, 20.0), (True, 100.0)])
def test_the_best_rate_is_not_waited_for_unless_there_is_too_little_to_send(
    app_limited: bool, best: float
) -> None:
    rates = Rates()
    rates.end_startup()
    for now, rate in enumerate([100.0, *[20.0] * 6]):
        rates.add(rate, app_limited=app_limited and rate < 100.0)
        rates.end_round(float(now))
    assert rates.best == best
