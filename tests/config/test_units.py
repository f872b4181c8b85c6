"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.units import format_duration, format_size, parse_duration, parse_size
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
