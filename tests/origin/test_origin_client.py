"""The origin replaces a lost link, unless it is refused or taken over."""

from __future__ import annotations

import pytest
from role_doubles import OTHER_TOKEN, House, Tunnel, of_type

from quictunnel.errors import Refused
from quictunnel.events import LinkDropped
from quictunnel.protocol.codes import Code
from quictunnel.session.session import FORGOTTEN
from testkit.clock import seconds, settle


def test_a_lost_link_is_replaced(world):
    async def story(world):
        await world.up()
        world.link.die()
        await seconds(1)
        assert len(world.established) == 2
        assert world.house.registry.find("default") is not None

    world(story)


def test_a_link_that_a_restarted_remote_has_dropped_is_replaced_at_once(world):
    async def story(world):
        await world.up()
        client = await world.client()
        await seconds(60)
        world.house = House(instance="second")
        world.link.be_forgotten()
        world.link.other.be_forgotten()
        await seconds(0.06)  # a connection takes 0.05
        assert client.was_reset
        assert [event.remote_restarted for event in world.established] == [False, True]
        (dropped,) = of_type(world.events, LinkDropped)
        assert dropped.reason == FORGOTTEN

    world(story)


def test_a_silent_link_that_a_restarted_remote_has_dropped_is_replaced_at_once(world):
    async def story(world):
        await world.up()
        await seconds(60)
        world.go_dark()
        await seconds(600)
        world.reachable = True
        world.house = House(instance="second")
        world.link.be_forgotten()
        await seconds(0.06)
        assert len(world.established) == 2
        await seconds(60)
        assert len(world.established) == 2

    world(story)


def test_links_that_the_remote_drops_at_once_are_replaced_with_back_off(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed:
                world.link.be_forgotten()
                world.link.other.be_forgotten()
        assert len(world.links) < 12

    world(story)


def test_after_an_outage_of_an_hour_the_origin_reconnects_soon(world):
    """The hold is over at both ends by then, and every client was reset."""

    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        await seconds(900)
        assert not client.is_over
        world.link.die()
        world.link.other.die()
        await settle()
        assert client.was_reset
        await seconds(2700)
        assert len(world.established) == 1
        world.reachable = True
        await seconds(25)
        assert len(world.established) == 2
        assert not (await world.client()).is_over

    world(story)


def test_only_a_stable_link_resets_the_back_off(world):
    async def story(world):
        await world.up()
        for _ in range(6):
            world.link.close()  # soon after it was established
            await seconds(20)
            world.links[-1].close()
            await settle()
        assert len(world.established) >= 7

        await seconds(30)
        world.link.die()
        await seconds(0.5)
        assert not world.link.is_closed

    world(story)


def test_a_network_change_causes_an_attempt_at_once(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(120)
        before = len(world.attempts)
        while len(world.attempts) == before:
            await seconds(0.1)
        await seconds(2)  # the next attempt is at least 14 s away
        world.reachable = True
        before = len(world.attempts)
        world.change("the network has changed")
        await seconds(0.1)
        assert len(world.attempts) == before + 1
        assert len(world.established) == 1

    world(story)


def test_links_that_the_remote_closes_at_once_are_replaced_with_back_off(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed:
                world.link.other.close(Code.GOODBYE)
        assert len(world.links) < 12

    world(story)


def test_a_refusal_ends_the_origin(world):
    async def story(world):
        await world.origin.start()
        with pytest.raises(Refused) as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.BAD_TOKEN
        world.origin._failure = None

    world(story, token=OTHER_TOKEN)


def test_a_wrong_certificate_ends_the_origin(world):
    async def story(world):
        world.refusal = Refused(Code.BAD_CERTIFICATE, "not the pinned one")
        await world.origin.start()
        with pytest.raises(Refused, match="not the pinned one"):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story)


def test_an_origin_that_is_taken_over_does_not_reconnect(world):
    async def story(world):
        await world.up()
        await Tunnel(world.house, take_over=True).up()
        with pytest.raises(Refused, match="its own --name and port") as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.TAKEN_OVER
        await seconds(60)
        assert len(world.attempts) == 1
        world.origin._failure = None

    world(story)


def test_an_origin_that_was_taken_over_during_an_outage_learns_it_afterwards(world):
    async def story(world):
        await world.up()
        world.go_dark()
        second = await Tunnel(world.house, instance="another run").up()
        world.link.be_forgotten()
        world.reachable = True
        with pytest.raises(Refused, match="is connected and answers") as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.SERVICE_TAKEN
        assert not second.far.is_closed
        world.origin._failure = None

    world(story)
