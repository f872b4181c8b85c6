"""Whose turn it is: all in turn, and first of all who has had little."""

from __future__ import annotations

from types import SimpleNamespace

from quictunnel.quic.engines.aioquic.turns import TURN, Turns


def stream(number: int) -> SimpleNamespace:
    return SimpleNamespace(number=number, clock=0, wants_to_send=True)


def served(turns: Turns, count: int) -> list[int]:
    """Let so many packets be filled; return whose."""
    numbers = []
    for _ in range(count):
        state = turns.next()
        numbers.append(state.number)
        turns.end(state, TURN)
    return numbers


def test_those_who_always_have_something_take_turns() -> None:
    turns = Turns()
    for number in (0, 4, 8):
        turns.begin(stream(number))
    assert served(turns, 7) == [0, 4, 8, 0, 4, 8, 0]


def test_who_has_had_nothing_to_send_goes_first_once() -> None:
    turns = Turns()
    for number in (0, 4, 8):
        turns.begin(stream(number))
    served(turns, 30)
    quiet = stream(12)
    turns.begin(quiet)
    assert served(turns, 4) == [12, 0, 4, 8]
    assert served(turns, 4) == [12, 0, 4, 8]


def test_who_writes_in_small_pieces_gets_no_more_than_others() -> None:
    turns = Turns()
    bulk, pieces = stream(0), stream(4)
    turns.begin(bulk)
    served(turns, 100)
    counts = {0: 0, 4: 0}
    for _ in range(200):
        pieces.wants_to_send = False  # a packet's worth, again as soon as it has gone
        turns.begin(pieces)
        state = turns.next()
        counts[state.number] += 1
        turns.end(state, TURN)
    assert 95 <= counts[4] <= 105


def test_one_that_has_ended_or_is_held_back_is_passed_over() -> None:
    turns = Turns()
    first, second = stream(0), stream(4)
    turns.begin(first)
    turns.begin(second)
    del turns[0]
    assert turns.next() is second
    second.wants_to_send = False
    turns.end(second, 10)
    assert not turns
