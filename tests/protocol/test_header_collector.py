from __future__ import annotations

import pytest

from quictunnel.protocol.header_collector import HeaderCollector


def _up_to_dot(start):
    end = start.find(b".")
    return None if end < 0 else end + 1


def test_what_comes_after_the_header_is_handed_back(arrive, tail):
    assert arrive(HeaderCollector(10, _up_to_dot), b"header.", tail) == (b"header.", tail)


def test_no_more_than_the_limit_is_ever_looked_at():
    seen = []

    def never(start):
        seen.append(len(start))

    collector = HeaderCollector(10, never)
    collector.feed(b"12345678")
    collector.feed(b"x" * 1_000_000)
    collector.feed(b"x")
    assert seen == [8, 10, 10]


def test_feeding_after_the_header_is_a_mistake_of_the_caller():
    collector = HeaderCollector(10, _up_to_dot)
    assert collector.feed(b"1.2") == (b"1.", b"2")
    with pytest.raises(RuntimeError):
        collector.feed(b"3")
