"""The origin keeps a silent link, and tries a new one beside it."""

from __future__ import annotations

import pytest
from role_doubles import House

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from testkit.clock import seconds, settle


def test_clients_survive_an_outage(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        await seconds(600)
        assert len(world.attempts) > 10
        assert world.failures == ["no answer within 10 s"]
        world.light_up()
        await seconds(30)
        assert not client.is_over
        assert len(world.established) == 1

    world(story)


def test_a_short_silence_causes_no_attempt(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(2)
        world.light_up()
        await seconds(30)
        assert len(world.attempts) == 1

    world(story)


def test_the_new_link_is_aborted_when_the_silent_one_recovers(world):
    async def story(world):
        await world.up()
        client = await world.client()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(4)
        assert len(world.links) == 2
        assert not world.link.is_closed
        for end in (old, old.other):
            end.thaw()
            end.come_back()
        await settle()
        # Check now: later the remote's hello timeout would close the new link anyway.
        assert world.links[1].is_closed
        await seconds(30)
        assert not client.is_over
        assert len(world.established) == 1

    world(story)


def test_a_link_that_stays_silent_is_replaced(world):
    async def story(world):
        await world.up()
        client = await world.client()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(8)
        assert old.is_closed
        assert client.was_reset
        assert len(world.established) == 2
        await seconds(60)
        assert len(world.established) == 2
        assert world.house.registry.find("default") is not None

    world(story)


@pytest.mark.parametrize("recovers", [False, True])
def test_news_of_the_own_take_over_that_overtakes_its_welcome_is_ignored(world, recovers):
    async def story(world):
        await world.up()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(4)
        new = world.link
        new.other.freeze()  # the welcome is delayed
        await seconds(4)
        if recovers:
            old.come_back()
            await settle()
        old.other.thaw()  # delivers the news of the take-over
        await settle()
        assert len(world.established) == 1
        new.other.thaw()
        await seconds(30)
        assert len(world.established) == 2
        assert not new.is_closed

    world(story)


def test_a_restarted_remote_is_found_long_before_the_hold_ends(world):
    async def story(world):
        await world.up()
        world.go_dark()
        world.house = House(instance="second")
        await seconds(30)
        world.reachable = True
        await seconds(30)
        assert [event.remote_restarted for event in world.established] == [False, True]

    world(story)


def test_a_refusal_beside_a_silent_link_does_not_end_it(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        world.refusal = Refused(Code.BAD_CERTIFICATE, "a captive portal")
        await seconds(60)
        assert not client.is_over
        world.refusal = None
        world.light_up()
        await seconds(30)
        assert len(world.established) == 1
        assert not client.is_over

    world(story)


def test_a_silent_link_that_is_lost_is_replaced(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(1)
        world.link.die()
        world.reachable = True
        await seconds(2)
        assert len(world.established) == 2

    world(story)
