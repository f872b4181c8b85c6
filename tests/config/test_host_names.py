from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.host_names import (
    MAX_NAME,
    covers,
    is_ip_literal,
    is_pattern,
    normalise_host,
    parse_pattern,
)

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])

ADDRESSES = [
    "192.0.2.7",
    "192.0.2.7.",
    "192.0.2.256",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0X7F.0.0.0x1",
    "017700000001",
    "0x",
    "::1",
    "2001:db8::7",
    "::ffff:192.0.2.7",
]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.com", "www.example.com"),
        ("WWW.Example.COM", "www.example.com"),
        ("www.example.com.", "www.example.com"),
        ("localhost", "localhost"),
        ("my_host._tcp.example.com", "my_host._tcp.example.com"),
        ("123.example.com", "123.example.com"),
        ("0x7f.example", "0x7f.example"),
        ("a--b.example", "a--b.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        (LONGEST, LONGEST),
        (LONGEST + ".", LONGEST),
    ],
)
def test_a_name_has_one_spelling(text, name):
    assert normalise_host(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".example",
        "a..example",
        "a.example..",
        "-a.example",
        "a-.example",
        "a b.example",
        " a.example",
        "a.example ",
        "a.example\n",
        "a.example\0",
        "a.example:80",
        "a.example/",
        "user@a.example",
        "*.example",
        "a.*.example",
        "a%41.example",
        "[::1]",
        "fe80::1%eth0",
        "a.example.123",
        "a.example.0x1",
        "\uff11\uff12\uff17.\uff11",  # full-width digits, which IDNA converts
        "a" * 64 + ".example",
        "ü" * 63 + ".example",
        "b" + LONGEST,
        pytest.param("ü" * 1_000_000, id="a million characters"),
        "\ud800.example",
        *ADDRESSES,
    ],
)
def test_anything_else_is_no_name(text):
    assert normalise_host(text) is None


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_one_in_any_notation(text):
    assert is_ip_literal(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.example", "1.2.3.4.5", "1.2.3.a", "1..2", "[::1]", "::1%eth0", ":", "a:b"]
)
def test_anything_else_is_no_address(text):
    assert not is_ip_literal(text)


@given(st.text(max_size=300))
def test_a_normal_name_stays_as_it_is(text):
    name = normalise_host(text)
    if name is not None:
        assert normalise_host(name) == name
        assert name.isascii()
        assert name == name.lower()
        assert not is_ip_literal(name)
        assert parse_pattern(text) == name


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("www.example.com", "www.example.com"),
        ("*.example.com", "*.example.com"),
        ("*.Example.COM.", "*.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.com", "*.com"),
        ("*", "*"),
        ("*." + LONGEST[2:], "*." + LONGEST[2:]),
    ],
)
def test_a_pattern_has_one_spelling(text, pattern):
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    "text",
    ["", "**", "*.", "*.*", "*.*.example", "a*.example", "*example", "a.*", "*.192.0.2.7", " *"],
)
def test_anything_else_is_no_pattern(text):
    assert parse_pattern(text) is None


def test_a_wildcard_that_no_name_could_match_is_no_pattern():
    assert len(LONGEST) == MAX_NAME
    assert parse_pattern("*." + LONGEST[1:]) is None


def test_only_wildcards_stand_for_several_names():
    assert is_pattern("*")
    assert is_pattern("*.example.com")
    assert not is_pattern("example.com")


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        ("a.example.com", "a.example.com"),
        ("*.example.com", "a.example.com"),
        ("*.example.com", "a.b.example.com"),
        ("*.example.com", "*.example.com"),
        ("*.example.com", "*.b.example.com"),
        ("*", "a.example.com"),
        ("*", "*.example.com"),
        ("*", "*"),
    ],
)
def test_a_pattern_covers_what_it_stands_for(allowed, asked):
    assert covers(allowed, asked)


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        ("a.example.com", "b.example.com"),
        ("a.example.com", "b.a.example.com"),
        ("a.example.com", "*.example.com"),
        ("a.example.com", "*"),
        ("*.example.com", "example.com"),
        ("*.example.com", "badexample.com"),
        ("*.example.com", "*.badexample.com"),
        ("*.example.com", "*.com"),
        ("*.example.com", "*"),
        ("*.b.example.com", "*.example.com"),
    ],
)
def test_a_pattern_covers_nothing_else(allowed, asked):
    assert not covers(allowed, asked)
