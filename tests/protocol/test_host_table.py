from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.host_names import covers
from quictunnel.protocol.host_names import HostTable


def table(*patterns):
    filled = HostTable()
    for pattern in patterns:
        filled.set(pattern, f"value of {pattern}")
    return filled


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a.example.com", "a.example.com"),
        ("b.example.com", "*.example.com"),
        ("c.b.example.com", "*.b.example.com"),
        ("d.c.b.example.com", "*.b.example.com"),
        ("b.a.example.com", "*.example.com"),
        ("example.com", "*"),
        ("com", "*"),
        ("badexample.com", "*"),
        (None, "*"),
    ],
)
def test_the_most_specific_pattern_wins(name, pattern):
    filled = table("*", "*.example.com", "*.b.example.com", "a.example.com")
    assert filled.find(name) == f"value of {pattern}"


@pytest.mark.parametrize("name", ["example.com", "other.example", "com", None])
def test_a_name_may_have_no_pattern(name):
    assert table("*.example.com", "a.example.com").find(name) is None
    assert table().find(name) is None


def test_a_value_can_be_replaced_and_removed():
    filled = table("*.example.com", "a.example.com")
    filled.set("a.example.com", "new")
    assert filled.find("a.example.com") == "new"
    filled.remove("a.example.com")
    assert filled.find("a.example.com") == "value of *.example.com"
    filled.remove("*.example.com")
    assert filled.find("a.example.com") is None
    with pytest.raises(KeyError):
        filled.remove("a.example.com")


names = st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(".".join)
patterns = names | names.map("*.{}".format) | st.just("*")


@given(st.sets(patterns), patterns)
def test_a_lookup_finds_the_longest_of_the_covering_patterns(some, name):
    covering = [pattern for pattern in some if covers(pattern, name)]
    # Of two covering patterns, the exact name has no asterisk, and the other ones differ in length.
    best = max(covering, key=lambda pattern: (pattern == name, len(pattern)), default=None)
    assert table(*some).find(name) == (best and f"value of {best}")
