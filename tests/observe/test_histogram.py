"""A histogram counts a value in the first bucket whose bound it does not exceed."""

from __future__ import annotations

from quictunnel.observe.histogram import Histogram


def test_a_bound_belongs_to_its_bucket():
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 1.0):
        histogram.observe(value)
    assert list(histogram.cumulated()) == [(0.1, 2), (1.0, 4)]


def test_values_above_the_last_bound_are_in_the_count_and_the_sum():
    histogram = Histogram((1.0,))
    histogram.observe(0.5)
    histogram.observe(60.0)
    assert list(histogram.cumulated()) == [(1.0, 1)]
    assert (histogram.count, histogram.sum) == (2, 60.5)
