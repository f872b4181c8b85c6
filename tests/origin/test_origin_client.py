"""The origin makes a lost link anew, unless it is refused or taken over."""

from __future__ import annotations

import pytest
from role_doubles import OTHER_TOKEN, House, Tunnel, facts, listen_to_logs

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from testkit.clock import seconds, settle


def test_a_lost_link_is_made_anew(world):
    async def story(world):
        await world.up()
        world.link.die()
        await seconds(1)
        assert len(world.ready) == 2
        assert world.house.registry.find("default") is not None

    world(story)


def test_a_link_that_the_remote_has_forgotten_is_made_anew_at_once(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        await world.up()
        client = await world.client()
        await seconds(60)
        world.house = House(instance="second")
        world.link.be_forgotten()
        world.link.other.be_forgotten()
        await seconds(0.06)  # a connection takes 0.05
        assert client.was_reset
        assert len(world.ready) == 2

    world(story)
    (lost,) = facts(caplog, "link lost")
    assert lost["reason"] == "the remote does not know the link any more, as after a restart"
    assert facts(caplog, "link stands")[1]["restarted"] is True


def test_a_silent_link_that_the_remote_has_forgotten_is_made_anew_at_once(world):
    async def story(world):
        await world.up()
        await seconds(60)
        world.go_dark()
        await seconds(600)
        world.reachable = True
        world.house = House(instance="second")
        world.link.be_forgotten()
        await seconds(0.06)
        assert len(world.ready) == 2
        await seconds(60)
        assert len(world.ready) == 2

    world(story)


def test_a_remote_that_forgets_every_link_is_not_hammered(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed:
                world.link.be_forgotten()
                world.link.other.be_forgotten()
        assert len(world.links) < 12

    world(story)


def test_after_an_hour_without_the_remote_a_link_stands_soon(world):
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
        assert len(world.ready) == 1
        world.reachable = True
        await seconds(25)
        assert len(world.ready) == 2
        assert not (await world.client()).is_over

    world(story)


def test_a_link_that_stood_resets_the_back_off_and_one_that_did_not_does_not(world):
    async def story(world):
        await world.up()
        for _ in range(6):
            world.link.close()  # at once, again and again
            await seconds(20)
            world.links[-1].close()
            await settle()
        assert len(world.ready) >= 7

        await seconds(30)
        world.link.die()
        await seconds(0.5)
        assert not world.link.is_closed

    world(story)


def test_another_network_is_tried_at_once(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(120)
        before = len(world.attempts)
        while len(world.attempts) == before:
            await seconds(0.1)
        await seconds(2)  # of the 16 and more until the next
        world.reachable = True
        before = len(world.attempts)
        world.change("the network has changed")
        await seconds(0.1)
        assert len(world.attempts) == before + 1
        assert len(world.ready) == 1

    world(story)


def test_a_remote_that_drops_every_link_is_not_hammered(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed:
                world.link.other.close(Code.GOODBYE)
        assert len(world.links) < 12

    world(story)


def test_a_refusal_ends_it(world):
    async def story(world):
        await world.origin.start()
        with pytest.raises(Refused) as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.BAD_TOKEN
        world.origin._failure = None

    world(story, token=OTHER_TOKEN)


def test_a_certificate_that_is_not_accepted_ends_it(world):
    async def story(world):
        world.refusal = Refused(Code.BAD_CERTIFICATE, "not the pinned one")
        await world.origin.start()
        with pytest.raises(Refused, match="not the pinned one"):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story)


def test_who_is_taken_over_does_not_come_back(world):
    async def story(world):
        await world.up()
        await Tunnel(world.house).up()
        with pytest.raises(Refused, match="run a remote for each") as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.TAKEN_OVER
        await seconds(60)
        assert len(world.attempts) == 1
        world.origin._failure = None

    world(story)


def test_who_was_taken_over_while_it_heard_nothing_is_told_when_it_is_back(world):
    async def story(world):
        await world.up()
        world.go_dark()
        second = await Tunnel(world.house, instance="another run").up()
        world.link.be_forgotten()
        world.reachable = True
        with pytest.raises(Refused, match="run a remote for each") as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.TAKEN_OVER
        assert not second.far.is_closed
        world.origin._failure = None

    world(story)
