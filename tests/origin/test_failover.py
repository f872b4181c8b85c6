"""The origin keeps a silent link and tries a fresh one beside it."""

from __future__ import annotations

import pytest
from role_doubles import House, facts, listen_to_logs

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from testkit.clock import seconds, settle


def test_clients_outlive_a_blackout(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        await seconds(600)
        assert len(world.attempts) > 10  # it tried for a fresh link all the time
        world.light_up()
        await seconds(30)
        assert not client.is_over
        assert len(world.ready) == 1

    world(story)


def test_a_short_silence_makes_no_fresh_link(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(2)
        world.light_up()
        await seconds(30)
        assert len(world.attempts) == 1

    world(story)


def test_the_fresh_link_is_aborted_when_the_old_one_returns(world):
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
        # Check now: later the remote's hello timeout would close the fresh link anyway.
        assert world.links[1].is_closed
        await seconds(30)
        assert not client.is_over
        assert len(world.ready) == 1

    world(story)


def test_an_old_link_that_stays_silent_is_replaced(world):
    async def story(world):
        await world.up()
        client = await world.client()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(8)
        assert old.is_closed
        assert client.was_reset
        assert len(world.ready) == 2
        await seconds(60)
        assert len(world.ready) == 2
        assert world.house.registry.find("default") is not None

    world(story)


@pytest.mark.parametrize("is_heard", [False, True])
def test_word_that_overtakes_the_welcome_of_ones_own_take_over_is_no_defeat(world, is_heard):
    async def story(world):
        await world.up()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(4)
        fresh = world.link
        fresh.other.freeze()  # the welcome is lost, and has to be sent again
        await seconds(4)
        if is_heard:
            old.come_back()
            await settle()
        old.other.thaw()  # that it was taken over arrives
        await settle()
        assert len(world.ready) == 1
        fresh.other.thaw()
        await seconds(30)
        assert len(world.ready) == 2
        assert not fresh.is_closed

    world(story)


def test_a_restarted_remote_is_found_long_before_the_hold_is_over(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        await world.up()
        world.go_dark()
        world.house = House(instance="second")
        await seconds(30)
        world.reachable = True
        await seconds(30)
        assert len(world.ready) == 2

    world(story)
    assert facts(caplog, "link stands")[1]["restarted"] is True


def test_a_refusal_beside_an_old_link_is_no_verdict_on_it(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        world.refusal = Refused(Code.BAD_CERTIFICATE, "a hotel's own")
        await seconds(60)
        assert not client.is_over
        world.refusal = None
        world.light_up()
        await seconds(30)
        assert len(world.ready) == 1
        assert not client.is_over

    world(story)


def test_a_silent_link_that_dies_is_made_anew(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(1)
        world.link.die()
        world.reachable = True
        await seconds(2)
        assert len(world.ready) == 2

    world(story)
