"""What may be said once more, and when."""

from __future__ import annotations

import math
from types import SimpleNamespace

from quictunnel.quic.engines.aioquic.repeating import A_SECOND, AT_ONCE, PART, Repetitions, Said

SIZE = 1000


def said(number: int) -> Said:
    return Said(SimpleNamespace(number=number), 0, SIZE)


def numbers(repetitions: Repetitions, now: float) -> list[int]:
    return [one.state.number for one in repetitions.take_due(now)]


def test_each_comes_once_when_it_is_due() -> None:
    repetitions = Repetitions()
    assert repetitions.next_at == math.inf
    for number in range(3):
        repetitions.add(said(number), 1.0 + number)
    assert repetitions.next_at == 1.0
    assert numbers(repetitions, 0.9) == []
    assert numbers(repetitions, 2.0) == [0, 1]
    assert numbers(repetitions, 2.0) == []
    assert numbers(repetitions, 9.0) == [2]


def test_no_more_is_said_once_more_than_a_part_of_what_is_sent() -> None:
    repetitions, sent = Repetitions(), 0
    for number in range(10_000):
        sent += 1200
        repetitions.earn(sent, 0.0)
        repetitions.add(said(number), 0.0)
    count = len(numbers(repetitions, 0.0))
    assert 0.95 * count * SIZE < AT_ONCE + sent * PART
    assert AT_ONCE + sent * PART < 1.05 * count * SIZE


def test_a_little_may_be_said_once_more_on_an_idle_connection() -> None:
    repetitions = Repetitions()
    for number in range(100):
        repetitions.add(said(number), 0.0)
    numbers(repetitions, 0.0)
    repetitions.earn(0, 1.0)
    for number in range(100):
        repetitions.add(said(number), 1.0)
    assert len(numbers(repetitions, 1.0)) == A_SECOND // SIZE


def test_what_is_forgotten_is_not_said() -> None:
    repetitions = Repetitions()
    repetitions.add(said(0), 1.0)
    repetitions.clear()
    assert numbers(repetitions, 2.0) == []
