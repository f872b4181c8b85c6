"""Numbers as people read them."""

from __future__ import annotations

import pytest

from quictunnel.cli.readable import (
    readable_duration,
    readable_rate,
    readable_share,
    readable_size,
    readable_time,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (123_456, "123 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (9_995_000, "10.0 MB"),
        (99_950_000, "100 MB"),
        (5_000_000_000_000_000_000_000, "5000000 PB"),
    ],
)
def test_a_size_has_three_digits(count, text):
    assert readable_size(count) == text


def test_numbers_without_limits_are_cut():
    for number in (1e308, float("inf"), 10**400):
        assert readable_rate(min(number, 1e308)).endswith(" Pbit/s")
        assert readable_size(number).endswith(" PB")
        assert readable_duration(number).endswith("h")


def test_a_rate_is_in_bits():
    assert readable_rate(125_000) == "1.00 Mbit/s"
    assert readable_rate(0) == readable_rate(0.01) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59.9, "59s"),
        (3599, "59m59s"),
        (3661, "1h1m"),
        (100_800, "1d4h"),
        (90_000, "1d1h"),
    ],
)
def test_a_duration_has_two_units(seconds, text):
    assert readable_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0001234, "0.12 ms"),
        (0.00123, "1.2 ms"),
        (0.0234, "23 ms"),
        (2.5, "2500 ms"),
        (12.34, "12.3 s"),
    ],
)
def test_a_time_is_in_milliseconds(seconds, text):
    assert readable_time(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "-"), (0, 10, "0 %"), (1, 3, "33.3 %"), (1, 100_000, "< 0.1 %"), (1, 1, "100.0 %")],
)
def test_a_share_is_in_per_cent(part, whole, text):
    assert readable_share(part, whole) == text
