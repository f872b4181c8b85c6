"""Several attempts side by side: the first success wins, the rest is cleaned up."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from virtual_time import virtual_time

from quictunnel.origin.race import first_to_succeed


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
        return await first_to_succeed(
            [partial(self.way, *attempt) for attempt in attempts],
            discard=self.discarded.append,
            stagger=0.3,
        )


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
async def test_of_two_that_arrive_at_once_one_is_given_back():
    ways = Ways()
    winner = await ways.race(("a", 1), ("b", 0.7))
    assert ways.discarded == [{"a": "b", "b": "a"}[winner]] or ways.cancelled


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
