"""Durations, sizes and rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.units import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)
from quictunnel.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("0", 0), ("2.5s", 2.5), ("500ms", 0.5), ("15m", 900), ("1h30m", 5400),
        ("1d2h3m4s5ms", 93784.005), (" 15M ", 900), ("5m5s", 305), ("5ms", 0.005),
    ],
)  # fmt: skip
def test_duration(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "m", "-1", "1e3", "inf", "nan", "1 h", "30m1h", "1h1h", "5x", "1h 30m", "٣", "9" * 40],
)
def test_duration_refuses(text):
    with pytest.raises(SettingsError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (900.0, "15m"), (5400, "1h30m"), (0.5, "500ms"), (1.25, "1s250ms"), (86400, "1d")],
)
def test_duration_as_text(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**10))
def test_duration_comes_back(milliseconds):
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "count"),
    [("4096", 4096), ("64KiB", 65536), ("64k", 65536), ("10MB", 10**7), ("1.5 GiB", 1610612736)],
)
def test_size(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1TiB", "1 2", "1e9", "9" * 40])
def test_size_refuses(text):
    with pytest.raises(SettingsError, match="not a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_size_comes_back(count):
    assert parse_size(format_size(count)) == count


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10Mbit", 1_250_000), ("10 mbit/s", 1_250_000), ("10MBit", 1_250_000), ("8bit", 1),
        ("1.25MB", 1_250_000), ("1.25 MB/s", 1_250_000), ("64kbit", 8000), ("1kB", 1000),
        ("1KB", 1000), ("1KiB", 1024), ("2MiB/s", 2_097_152), ("1Gbit", 125_000_000), ("500B", 500),
    ],
)  # fmt: skip
def test_rate(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "10", "10M", "10Mb", "10mb", "10Mbps", "bit", "-1Mbit", "1e3B", "1Tbit", "9" * 40]
)
def test_rate_refuses_what_could_be_bits_or_bytes(text):
    with pytest.raises(SettingsError, match="write for example 10Mbit for bits per second, or"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1_250_000, "10Mbit"), (125_000_000, "1Gbit"), (1000, "8kbit"), (1, "8bit"), (0, "0bit")],
)
def test_rate_as_text(rate, text):
    assert format_rate(rate) == text


@given(st.integers(min_value=0, max_value=2**40))
def test_rate_comes_back(rate):
    assert parse_rate(format_rate(rate)) == rate
