"""How steadily UDP answers, and when it is probed next."""

from __future__ import annotations

import pytest

from quictunnel.quic.path.probe_record import (
    ANSWERED_INTERVAL,
    FIRST_INTERVAL,
    FIRST_PHASE,
    MAX_GAP,
    MAX_INTERVAL,
    ProbeRecord,
)


def recorded(results: str, record: ProbeRecord | None = None) -> tuple[ProbeRecord, float]:
    """Record a result each half second: `a` is answered, `-` is missed. Return the time, too."""
    record = record or ProbeRecord(0.0)
    now = 0.0
    for result in results:
        now += ANSWERED_INTERVAL
        record.answered(now) if result == "a" else record.missed()
    return record, now


def test_answers_for_five_seconds_are_steady():
    record, now = recorded("a" * 10)
    assert not record.is_steady(now, 5)
    record.answered(now + 0.5)
    assert record.is_steady(now + 0.5, 5)
    assert not record.is_steady(now + 0.5, 10)


def test_one_of_ten_may_be_missed_and_not_two():
    record, now = recorded("aaaa-aaaaaa")
    assert record.is_steady(now, 5)
    record, now = recorded("aaaa-aaa-aa")
    assert not record.is_steady(now, 5)


def test_answers_since_the_first_of_two_missed_ones_still_count():
    record, now = recorded("aaaa-aaaa-aaa")
    assert record.steady_since == 6 * ANSWERED_INTERVAL
    record, now = recorded("aaaa-aaaa-aaaaaa")
    assert not record.is_steady(now - ANSWERED_INTERVAL, 5)
    assert record.is_steady(now, 5)


@pytest.mark.parametrize("results", ["a-", "aa-", "aaaa-"])
def test_more_than_one_miss_in_each_ten_is_never_steady(results):
    record = ProbeRecord(0.0)
    for number, result in enumerate(results * 50):
        record.answered(number * ANSWERED_INTERVAL) if result == "a" else record.missed()
        assert not record.is_steady(number * ANSWERED_INTERVAL, 5)


def test_many_answers_before_do_not_excuse_two_missed_ones():
    record, _ = recorded("a" * 600 + "--")
    assert record.steady_since is None


def test_misses_before_the_first_answer_do_not_count():
    record, now = recorded("-" * 20 + "a" * 11)
    assert record.is_steady(now, 5)


def test_answers_before_the_process_was_stopped_do_not_count():
    record, now = recorded("aaa")
    record.answered(now + MAX_GAP + 0.5)
    assert record.steady_since == now + MAX_GAP + 0.5


def test_the_interval_is_short_at_first_and_grows_later():
    record = ProbeRecord(100.0)
    assert record.next_interval(100.0) == FIRST_INTERVAL
    assert record.next_interval(100.0 + FIRST_PHASE - 1) == FIRST_INTERVAL
    later = [record.next_interval(100.0 + FIRST_PHASE + number) for number in range(7)]
    assert later == [30, 60, 120, 240, MAX_INTERVAL, MAX_INTERVAL, MAX_INTERVAL]


def test_after_an_answer_or_on_another_network_it_is_short_again():
    record = ProbeRecord(0.0)
    for _ in range(5):
        record.next_interval(FIRST_PHASE)
    record.answered(FIRST_PHASE)
    assert record.next_interval(FIRST_PHASE) == ANSWERED_INTERVAL
    record.missed()
    record.missed()
    assert record.next_interval(FIRST_PHASE) == 30
    record.restart(FIRST_PHASE)
    assert record.next_interval(FIRST_PHASE) == FIRST_INTERVAL
