"""Values and tables as TOML, which `tomllib` reads back."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.toml_writer import format_table, format_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (7, "7"),
        ("15m", '"15m"'),
        ("", '""'),
        ('a "b" \\', r'"a \"b\" \\"'),
        ("a\x1b\n\x7f\u202e", r'"a\u001b\u000a\u007f\u202e"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("älice", '"älice"'),
        (["2222", "3000-3999"], '["2222", "3000-3999"]'),
        ([], "[]"),
        (date(2027, 1, 31), "2027-01-31"),
        (datetime(2027, 1, 31, 12, tzinfo=UTC), "2027-01-31T12:00:00Z"),
        (
            datetime(2027, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
            "2027-01-31T12:00:00+02:00",
        ),
    ],
)
def test_a_value_is_read_back(value, text):
    assert format_value(value) == text
    assert tomllib.loads(f"x = {text}") == {"x": value}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back_from_one_printable_line(text):
    written = format_value(text)
    assert written.isprintable()
    assert tomllib.loads(f"x = {written}") == {"x": text}


def test_a_path_that_is_not_utf_8_has_escapes():
    assert format_value("a\udcff") == r'"a\\udcff"'


def test_a_table_has_quotes_around_a_name_that_needs_them():
    text = format_table(("policy", "*.example.com"), {"allow": ["::1"], "max-clients": 5})
    assert text == '[policy."*.example.com"]\nallow = ["::1"]\nmax-clients = 5\n'
    assert tomllib.loads(text)["policy"]["*.example.com"]["max-clients"] == 5
