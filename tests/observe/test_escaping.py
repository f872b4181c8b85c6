"""Texts of peers: escaped, in one line, and cut once escaped."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.escaping import (
    MAX_NAME,
    MAX_SENTENCE,
    MAX_VALUE,
    cut_name,
    cut_sentence,
    escape,
)

CONTROLS = [chr(code) for code in (*range(32), *range(127, 160))]
BIDI = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_ENDS = list("\u2028\u2029\x85")


@pytest.mark.parametrize("character", CONTROLS + BIDI + LINE_ENDS)
def test_a_character_that_controls_a_terminal_is_escaped(character):
    assert escape(f"a{character}b").isprintable()


def test_every_character_is_printable_once_escaped():
    assert all(escape(chr(code)).isprintable() for code in range(sys.maxunicode + 1))


@pytest.mark.parametrize(("cut", "limit"), [(cut_name, MAX_NAME), (cut_sentence, MAX_SENTENCE)])
@given(text=st.text(max_size=2 * MAX_SENTENCE))
def test_a_text_of_a_peer_is_short_once_escaped(cut, limit, text):
    short = cut(text)
    assert len(escape(short)) <= limit
    if len(escape(text)) <= limit:
        assert short == text
    else:
        assert short.endswith("…")
        assert text.startswith(short[:-1])


def test_a_name_is_cut_before_the_escape_that_has_no_room():
    fits = "a" * (MAX_NAME - 4) + "\x1b"
    assert cut_name(fits) == fits
    assert cut_name(fits + "b") == "a" * (MAX_NAME - 4) + "…"
    assert cut_name("a" * MAX_NAME) == "a" * MAX_NAME
    assert cut_name("a" * (MAX_NAME + 1)) == "a" * (MAX_NAME - 1) + "…"


def test_a_long_value_is_cut_too():
    assert escape("a" * (MAX_VALUE + 1)) == "a" * (MAX_VALUE - 1) + "…"
