"""How fast clients are, from one request to the next."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from observed_role import clients

from quictunnel.admin.client_rates import MAX_INTERVAL, SLICE, ClientRates
from testkit.snapshots import CLIENT


class Clock:
    now = 100.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rates(clock):
    return ClientRates(lambda: clock.now)


def later(up: int, down: int, **more):
    return replace(
        CLIENT, bytes_up=CLIENT.bytes_up + up, bytes_down=CLIENT.bytes_down + down, **more
    )


async def test_the_first_rate_is_the_average_since_the_start(rates):
    assert await rates.of([CLIENT]) == {"c1": (10, 100)}
    assert await rates.of([replace(CLIENT, id="new", age=0.0)]) == {"new": (100, 1000)}


async def test_the_next_rate_is_of_the_time_in_between(rates, clock):
    await rates.of([CLIENT])
    clock.now += 2
    assert await rates.of([later(50, 8000)]) == {"c1": (25, 4000)}


async def test_requests_at_the_same_time_get_the_same_rates(rates, clock):
    await rates.of([CLIENT])
    clock.now += 1
    first = await rates.of([later(100, 0)])
    clock.now += 0.1
    assert await rates.of([later(9999, 0)]) == first == {"c1": (100, 0)}


async def test_an_old_sample_does_not_count(rates, clock):
    await rates.of([CLIENT])
    clock.now += MAX_INTERVAL + 1
    assert await rates.of([later(0, 0)]) == {"c1": (10, 100)}


async def test_many_clients_do_not_hold_up_other_tasks(rates):
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    assert len(await rates.of(clients(4 * SLICE))) == 4 * SLICE
    assert turns >= 3
    counting.cancel()


async def test_clients_that_have_left_are_forgotten(rates, clock):
    await rates.of(clients(100))
    clock.now += 1
    await rates.of([CLIENT])
    assert list(rates._bytes) == list(rates._rates) == ["c1"]
