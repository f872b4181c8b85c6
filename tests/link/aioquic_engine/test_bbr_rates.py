"""Which samples of the rate count for BBR, and for how long."""

from __future__ import annotations

from quictunnel.link.aioquic_engine.bbr_rates import Rates


def test_of_a_round_counts_what_half_of_its_samples_reach() -> None:
    rates = Rates()
    rates.end_startup()
    for rates_of_round in ([90.0, 100.0, 110.0], [100.0, 101.0, 150.0, 0.0, 99.0, 98.0]):
        for rate in rates_of_round:
            rates.add(rate, app_limited=False)
        rates.end_round()
        assert (rates.best, rates.latest) == (100.0, 100.0)


def test_in_startup_each_sample_counts_and_then_most_of_the_best() -> None:
    rates = Rates()
    for rates_of_round in ([10.0, 20.0, 30.0], [40.0, 70.0, 90.0], [60.0], [10.0]):
        for rate in rates_of_round:
            rates.add(rate, app_limited=rate == 10.0)
            assert rates.latest == rates.best >= rate
        rates.end_round()
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
        rates.end_round()
        assert rates.best == best


def test_a_best_rate_stands_for_two_cycles() -> None:
    rates = Rates()
    rates.end_startup()
    bests = []
    for rate in (100.0, 80.0, 70.0):
        rates.add(rate, app_limited=False)
        rates.end_round()
        rates.advance_cycle()
        bests.append(rates.best)
    rates.add(60.0, app_limited=False)
    rates.end_round()
    assert [*bests, rates.best] == [100.0, 100.0, 80.0, 70.0]
