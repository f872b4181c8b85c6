"""Waits that another network ends: between two tries, and for a try that hangs."""

from __future__ import annotations

import asyncio
import random

import pytest

from quictunnel.errors import LinkFailed
from quictunnel.origin.backoff import FIRST_DELAY, LONGEST_DELAY, Backoff
from quictunnel.origin.retry import AMNESTY, LONG_TRY, LONGEST_TRY, Waits
from testkit.clock import seconds, virtual_time


class FakeWatch:
    def __init__(self, loop, changed) -> None:
        self.changed = changed
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class World:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waits = Waits(self._make)
        self.backoff = Backoff(random.Random(7))
        self.watch: FakeWatch | None = None

    def _make(self, loop, changed) -> FakeWatch:
        self.watch = FakeWatch(loop, changed)
        return self.watch

    def change(self) -> None:
        self.watch.changed("the network has changed")

    async def paused(self) -> float:
        """Return how many seconds a pause takes."""
        began = self.loop.time()
        await self.waits.pause(self.backoff, self.backoff.next())
        return self.loop.time() - began

    def tire(self) -> None:
        """Let the back-off come to its longest delay."""
        for _ in range(10):
            self.backoff.next()


@virtual_time
async def test_a_change_ends_the_wait_and_the_delays_begin_anew():
    world = World()
    world.tire()
    with world.waits:
        world.loop.call_later(3, world.change)
        assert await world.paused() == pytest.approx(3, abs=0.01)
        assert await world.paused() < 2 * FIRST_DELAY
    assert world.watch.is_closed


@virtual_time
async def test_without_one_it_is_as_long_as_ever():
    world = World()
    world.tire()
    with world.waits:
        assert await world.paused() >= 0.8 * LONGEST_DELAY


@virtual_time
async def test_networks_that_never_rest_do_not_make_it_hammer():
    world = World()
    world.tire()
    tries = 0

    async def noise() -> None:
        while True:
            world.change()
            await asyncio.sleep(0.05)

    with world.waits:
        task = asyncio.create_task(noise())
        until = world.loop.time() + 60
        while world.loop.time() < until:
            await world.paused()
            tries += 1
        task.cancel()
    assert tries <= 60 / (0.8 * FIRST_DELAY) + 1
    await seconds(AMNESTY)


@virtual_time
async def test_a_try_that_hangs_is_called_off_when_the_network_changes():
    world = World()
    called_off: list[float] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            called_off.append(world.loop.time())

    with world.waits:
        world.loop.call_later(4, world.change)
        with pytest.raises(LinkFailed, match="changed"):
            async with world.waits.attempt():
                await hang()
    assert called_off == [pytest.approx(4, abs=0.01)]


@virtual_time
async def test_a_young_try_has_its_time_first_and_the_next_one_twice_as_much():
    world = World()
    with world.waits:
        for patience in (LONG_TRY, 2 * LONG_TRY, 4 * LONG_TRY, LONGEST_TRY, LONGEST_TRY):
            began = world.loop.time()
            world.loop.call_later(0.1, world.change)
            with pytest.raises(LinkFailed):
                async with world.waits.attempt():
                    await asyncio.sleep(3600)
            assert world.loop.time() - began == pytest.approx(patience, abs=0.01)
        async with world.waits.attempt():
            await asyncio.sleep(1)
        world.loop.call_later(0.1, world.change)
        with pytest.raises(LinkFailed):
            async with world.waits.attempt():
                await asyncio.sleep(1.5)


@virtual_time
async def test_what_a_try_raises_is_raised():
    world = World()

    async def fail() -> None:
        await asyncio.sleep(0.1)
        raise LinkFailed("no answer")

    with world.waits:
        world.change()
        with pytest.raises(LinkFailed, match="no answer"):
            async with world.waits.attempt():
                await fail()
