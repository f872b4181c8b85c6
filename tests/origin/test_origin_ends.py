"""The origin ends: by a drain, an abort or a bug."""

from __future__ import annotations

import asyncio

import pytest
from role_doubles import of_type

from quictunnel.events import DrainStarted, LinkAttemptFailed
from quictunnel.protocol.codes import Code
from quictunnel.session.failure_reporter import MAX_REPORTS
from testkit.clock import seconds, settle


def test_a_drain_without_clients_ends_at_once(world):
    async def story(world):
        await world.up()
        world.origin.drain()
        await world.origin.wait_closed()
        assert world.link.code == Code.GOODBYE

    world(story)


def test_a_drain_waits_for_clients_within_the_grace(world):
    async def story(world):
        await world.up()
        client = await world.client()
        began = asyncio.get_running_loop().time()
        world.origin.drain()
        world.origin.drain()
        assert of_type(world.events, DrainStarted) == [DrainStarted(clients=1, grace=30.0)]
        await world.origin.wait_closed()
        assert asyncio.get_running_loop().time() - began == pytest.approx(30, abs=3)
        await settle()
        assert client.was_reset

    world(story)


def test_a_drain_without_a_link_ends_at_once(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(5)
        world.origin.drain()
        await world.origin.wait_closed()

    world(story)


def test_a_drain_during_the_hello_ends_at_once(world):
    async def story(world):
        await world.origin.start()
        await asyncio.sleep(0.05)
        world.origin.drain()
        await world.origin.wait_closed()
        assert all(link.is_closed for link in world.links)

    world(story)


def test_a_drain_of_a_silent_link_ends_within_the_grace(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(10)
        world.origin.drain()
        await world.origin.wait_closed()
        assert all(link.is_closed for link in world.links)

    world(story)


def test_an_abort_ends_at_once(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.origin.drain()
        world.origin.abort()
        await world.origin.wait_closed()
        await settle()
        assert client.was_reset

    world(story)


def test_a_bug_is_raised_by_wait_closed(world):
    async def story(world):
        world.house = None
        await world.origin.start()
        with pytest.raises(AttributeError):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story)


def test_failed_attempts_that_were_not_reported_are_counted_at_the_end(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        for number in range(20):
            world.origin._connector.report_failure(f"reason {number}")
        assert len(world.failures) == MAX_REPORTS
        world.origin.abort()
        await world.origin.wait_closed()
        assert sum(1 + event.suppressed for event in of_type(world.events, LinkAttemptFailed)) == 20

    world(story)
