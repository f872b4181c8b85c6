"""The origin reaches for its remote: the first link, back-off, what it says meanwhile."""

from __future__ import annotations

from itertools import pairwise

from role_doubles import facts, listen_to_logs

from quictunnel.errors import LinkFailed
from quictunnel.origin import connector as reaching
from quictunnel.origin.link_dialing import ATTEMPT_TIMEOUT
from testkit.clock import seconds


def test_it_says_when_it_is_ready(world):
    async def story(world):
        await world.up()
        ((service,),) = world.ready
        assert (service.name, service.address) == ("default", "198.51.100.1:9000")

    world(story)


def test_it_tries_until_the_remote_is_there(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(60)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts)]
        assert 0.1 < gaps[0] < 0.4
        assert max(gaps) < 0.8
        world.reachable = True
        await seconds(1)
        assert len(world.ready) == 1

    world(story)


def test_where_nobody_has_answered_for_long_it_tries_seldom(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(3600)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts)]
        assert min(gaps[-100:]) > 15
        assert max(gaps) < 25
        world.reachable = True
        await seconds(30)
        assert len(world.ready) == 1

    world(story)


def test_the_same_failure_is_one_line(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(60)
        assert len(world.attempts) > 4

    world(story)
    (fact,) = facts(caplog, "no link, trying on")
    assert str(fact["reason"]) == "no answer within 10 s"


def test_a_failure_that_lasts_is_said_again_and_so_is_it_after_another_link(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(2 * reaching.COMPLAIN_AGAIN)
        assert len(facts(caplog, "no link, trying on")) == 2
        world.reachable = True
        await seconds(30)
        world.reachable = False
        world.link.die()
        await seconds(60)
        assert len(facts(caplog, "no link, trying on")) == 3

    world(story)


def test_reasons_that_take_turns_are_said_once_each(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        for number in range(4):
            reason = LinkFailed(f"reason {number % 2}")
            world.origin._reaching.complain(reason)

    world(story)
    assert [fact["reason"] for fact in facts(caplog, "no link, trying on")] == [
        "reason 0",
        "reason 1",
    ]


def test_ever_new_reasons_are_not_remembered_for_ever(world):
    async def story(world):
        for number in range(1000):
            world.origin._reaching.complain(LinkFailed(f"reason {number}"))
        assert len(world.origin._reaching._complaints) <= reaching.MOST_COMPLAINTS

    world(story)


def test_the_first_try_is_short_enough_to_say_within_5_s_that_nobody_answers(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(20)
        assert world.within[0] < 4
        assert set(world.within[1:]) == {ATTEMPT_TIMEOUT}

    world(story)
