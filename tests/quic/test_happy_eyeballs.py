"""Several attempts side by side: the first success wins, the rest is cleaned up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

import pytest

from quictunnel.quic.happy_eyeballs import first_to_succeed
from testkit.clock import virtual_time


class Ways:
    def __init__(self) -> None:
        self.started: list[tuple[str, float]] = []
        self.cancelled: list[str] = []
        self.discarded: list[str] = []

    async def way(self, name: str, takes: float, error: Exception | None = None) -> str:
        self.started.append((name, asyncio.get_running_loop().time()))
        try:
            await asyncio.sleep(takes)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if error is not None:
            raise error
        return name

    async def race(self, *attempts: tuple) -> str:
        return await self.race_between(*(partial(self.way, *attempt) for attempt in attempts))

    async def race_between(self, *attempts: Callable[[], Coroutine[None, None, str]]) -> str:
        return await first_to_succeed(attempts, discard=self.discarded.append, stagger=0.3)


@virtual_time
async def test_a_quick_first_one_is_the_only_one():
    ways = Ways()
    assert await ways.race(("a", 0.1), ("b", 0.1)) == "a"
    assert ways.started == [("a", 0)]


@virtual_time
async def test_the_next_starts_when_one_takes_long():
    ways = Ways()
    assert await ways.race(("a", 9), ("b", 0.1), ("c", 0.1)) == "b"
    assert ways.started == [("a", 0), ("b", pytest.approx(0.3))]
    assert ways.cancelled == ["a"]


@virtual_time
async def test_the_next_starts_at_once_when_one_fails():
    ways = Ways()
    assert await ways.race(("a", 0, OSError("no")), ("b", 0.1)) == "b"
    assert ways.started == [("a", 0), ("b", 0)]


@virtual_time
async def test_a_slow_first_one_may_still_win():
    ways = Ways()
    assert await ways.race(("a", 1), ("b", 9)) == "a"
    assert ways.cancelled == ["b"]


@virtual_time
async def test_when_two_attempts_succeed_at_once_the_loser_is_discarded():
    ways = Ways()
    answered = asyncio.Event()

    async def attempt(name: str) -> str:
        await answered.wait()
        return name

    race = asyncio.create_task(ways.race_between(partial(attempt, "a"), partial(attempt, "b")))
    await asyncio.sleep(1)
    answered.set()
    winner = await race
    assert ways.discarded == [{"a": "b", "b": "a"}[winner]]


@virtual_time
async def test_a_loser_that_succeeds_while_it_is_cancelled_is_discarded():
    ways = Ways()

    async def too_late_to_cancel() -> str:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return "loser"
        return "never"

    winner = await ways.race_between(too_late_to_cancel, partial(ways.way, "winner", 0.1))
    assert winner == "winner"
    assert ways.discarded == ["loser"]


@virtual_time
async def test_cancelling_the_race_discards_an_attempt_that_has_just_succeeded():
    ways = Ways()

    async def succeed_at_the_moment_of_cancelling() -> str:
        race.cancel()
        return "a"

    race = asyncio.create_task(ways.race_between(succeed_at_the_moment_of_cancelling))
    with pytest.raises(asyncio.CancelledError):
        await race
    assert ways.discarded == ["a"]


@virtual_time
async def test_when_all_fail_every_reason_is_told():
    with pytest.raises(ExceptionGroup) as caught:
        await Ways().race(("a", 0, OSError("one")), ("b", 0, OSError("two")))
    assert [str(exc) for exc in caught.value.exceptions] == ["one", "two"]


@virtual_time
async def test_cancelling_the_race_cancels_everyone():
    ways = Ways()
    race = asyncio.create_task(ways.race(("a", 9), ("b", 9)))
    await asyncio.sleep(1)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert sorted(ways.cancelled) == ["a", "b"]
