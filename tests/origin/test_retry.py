"""Waits between attempts, and attempts themselves, which a network change cuts short."""

from __future__ import annotations

import asyncio
import random

import pytest

from quictunnel.errors import LinkFailed
from quictunnel.origin.backoff import FIRST_DELAY, MAX_DELAY, Backoff
from quictunnel.origin.retry import ATTEMPT_AGE, MAX_ATTEMPT_AGE, RESET_INTERVAL, RetryTimer
from testkit.clock import seconds, virtual_time


class FakeMonitor:
    def __init__(self, loop, changed) -> None:
        self.changed = changed
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Machine:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.retry = RetryTimer(self._make)
        self.backoff = Backoff(random.Random(7))
        self.monitor: FakeMonitor | None = None

    def _make(self, loop, changed) -> FakeMonitor:
        self.monitor = FakeMonitor(loop, changed)
        return self.monitor

    def change(self) -> None:
        self.monitor.changed("the network has changed")

    async def paused(self) -> float:
        """Return how many seconds a pause takes."""
        began = self.loop.time()
        await self.retry.wait(self.backoff, self.backoff.next())
        return self.loop.time() - began

    def exhaust(self) -> None:
        """Bring the back-off to its longest delay."""
        for _ in range(10):
            self.backoff.next()


@virtual_time
async def test_a_network_change_ends_the_wait_and_resets_the_back_off():
    machine = Machine()
    machine.exhaust()
    with machine.retry:
        machine.loop.call_later(3, machine.change)
        assert await machine.paused() == pytest.approx(3, abs=0.01)
        assert await machine.paused() < 2 * FIRST_DELAY
    assert machine.monitor.is_closed


@virtual_time
async def test_without_a_network_change_the_wait_has_its_full_length():
    machine = Machine()
    machine.exhaust()
    with machine.retry:
        assert await machine.paused() >= 0.8 * MAX_DELAY


@virtual_time
async def test_a_network_that_changes_all_the_time_does_not_cause_a_burst_of_attempts():
    machine = Machine()
    machine.exhaust()
    attempts = 0

    async def noise() -> None:
        while True:
            machine.change()
            await asyncio.sleep(0.05)

    with machine.retry:
        task = asyncio.create_task(noise())
        until = machine.loop.time() + 60
        while machine.loop.time() < until:
            await machine.paused()
            attempts += 1
        task.cancel()
    assert attempts <= 60 / (0.8 * FIRST_DELAY) + 1
    await seconds(RESET_INTERVAL)


@virtual_time
async def test_a_network_change_cancels_an_attempt_that_has_taken_a_while():
    machine = Machine()
    cancelled: list[float] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append(machine.loop.time())

    with machine.retry:
        machine.loop.call_later(4, machine.change)
        with pytest.raises(LinkFailed, match="changed"):
            async with machine.retry.limit_attempt():
                await hang()
    assert cancelled == [pytest.approx(4, abs=0.01)]


@virtual_time
async def test_each_cancelled_attempt_doubles_the_time_of_the_next_one():
    machine = Machine()
    with machine.retry:
        for age in (
            ATTEMPT_AGE,
            2 * ATTEMPT_AGE,
            4 * ATTEMPT_AGE,
            MAX_ATTEMPT_AGE,
            MAX_ATTEMPT_AGE,
        ):
            began = machine.loop.time()
            machine.loop.call_later(0.1, machine.change)
            with pytest.raises(LinkFailed):
                async with machine.retry.limit_attempt():
                    await asyncio.sleep(3600)
            assert machine.loop.time() - began == pytest.approx(age, abs=0.01)
        async with machine.retry.limit_attempt():
            await asyncio.sleep(1)
        machine.loop.call_later(0.1, machine.change)
        with pytest.raises(LinkFailed):
            async with machine.retry.limit_attempt():
                await asyncio.sleep(1.5)


@virtual_time
async def test_an_error_of_an_attempt_is_raised():
    machine = Machine()

    async def fail() -> None:
        await asyncio.sleep(0.1)
        raise LinkFailed("no answer")

    with machine.retry:
        machine.change()
        with pytest.raises(LinkFailed, match="no answer"):
            async with machine.retry.limit_attempt():
                await fail()
