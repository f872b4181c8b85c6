"""Peers that have not proven that they are the remote do not end an origin that has met it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from impostors import FAILURES, REFUSALS, Impostors, closing
from role_doubles import TOKEN, House, of_type

from quictunnel.config.grants import Grant
from quictunnel.errors import Refused
from quictunnel.events import LinkAttemptFailed
from quictunnel.origin.backoff import MAX_REFUSED_DELAY, REFUSED_DELAY
from quictunnel.origin.connector import REPORT_INTERVAL, UNPROVEN
from quictunnel.protocol.codes import Code
from testkit.clock import seconds, settle

ANSWERS = REFUSALS | FAILURES

EXPIRED = {TOKEN.id: Grant(expires_at=0.0)}
"""The rights of a token that has expired."""


def impersonate(world, name: str) -> None:
    """Let a peer that does not know the token answer in the remote's place."""
    answer = ANSWERS[name]
    if isinstance(answer, Refused):
        world.refusal = answer
    else:
        world.house = Impostors(answer)


def return_remote(world) -> None:
    """Let the remote answer again, in another run."""
    world.refusal = None
    world.house = House(instance="second")


@pytest.mark.parametrize("name", ANSWERS)
def test_the_origin_is_back_within_25_seconds_of_the_end_of_an_impostor(world, name):
    async def story(world):
        await world.up()
        impersonate(world, name)
        world.link.die()
        await seconds(120)
        assert len(world.established) == 1
        return_remote(world)
        await seconds(25)
        assert [event.remote_restarted for event in world.established] == [False, True]

    world(story)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_impostor_beside_a_silent_link_does_not_replace_or_end_it(world, name):
    async def story(world):
        await world.up()
        client, link = await world.client(), world.link
        world.go_dark()
        world.reachable = True
        real, impersonated = world.house, len(world.attempts)
        impersonate(world, name)
        await seconds(120)
        assert len(world.attempts) > impersonated
        assert not link.is_closed
        assert not client.is_over
        world.refusal, world.house = None, real
        for end in (link, link.other):
            end.thaw()
            end.come_back()
        await seconds(30)
        assert len(world.established) == 1
        assert not client.is_over

    world(story)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_remote_that_replaces_an_impostor_replaces_the_silent_link(world, name):
    async def story(world):
        await world.up()
        world.go_dark()
        world.reachable = True
        impersonate(world, name)
        await seconds(120)
        return_remote(world)
        await seconds(25)
        assert len(world.established) == 2

    world(story)


@pytest.mark.parametrize("name", REFUSALS)
def test_until_the_remote_has_proven_itself_a_refusal_ends_the_origin(world, name):
    async def story(world):
        impersonate(world, name)
        await world.origin.start()
        with pytest.raises(Refused):
            await world.origin.wait_closed()
        assert len(world.attempts) == 1
        world.origin._failure = None

    world(story)


def test_a_proven_refusal_is_final_at_any_time(world):
    async def story(world):
        await world.up()
        world.house = House(grants=EXPIRED)
        world.link.die()
        with pytest.raises(Refused, match="the token has expired") as caught:
            await world.origin.wait_closed()
        assert caught.value.is_proven
        world.origin._failure = None

    world(story)


def test_beside_a_silent_link_even_a_proven_refusal_is_not_final(world):
    """The silent link may recover, with its clients."""

    async def story(world):
        await world.up()
        client, link = await world.client(), world.link
        world.go_dark()
        world.reachable, world.house = True, House(grants=EXPIRED)
        await seconds(120)
        assert not client.is_over
        link.die()
        with pytest.raises(Refused, match="the token has expired"):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story)


def test_an_unproven_refusal_is_reported_once_and_says_that_the_origin_retries(world):
    async def story(world):
        await world.up()
        impersonate(world, "wrong certificate")
        world.link.die()
        await seconds(REPORT_INTERVAL - 60)
        (failed,) = of_type(world.events, LinkAttemptFailed)
        assert failed.reason == f"not the pinned one; {UNPROVEN}"
        assert not failed.beside_silent_link

    world(story)


def test_an_impostor_that_stays_for_hours_is_dialled_every_five_minutes(world):
    async def story(world):
        await world.up()
        impersonate(world, "refused")
        world.link.die()
        await seconds(4 * 3600)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts[1:])]
        assert max(gaps[:25]) < REFUSED_DELAY + 0.1
        assert min(gaps[-10:]) > 0.7 * MAX_REFUSED_DELAY
        assert max(gaps) < MAX_REFUSED_DELAY + 0.1
        return_remote(world)
        await seconds(MAX_REFUSED_DELAY + 0.1)
        assert len(world.established) == 2

    world(story)


def test_a_network_change_ends_the_wait_after_an_unproven_refusal(world):
    async def story(world):
        await world.up()
        impersonate(world, "refused")
        world.link.die()
        await seconds(3600)
        return_remote(world)
        world.change("the network has changed")
        await seconds(0.3)
        assert len(world.established) == 2

    world(story)


@pytest.mark.parametrize("code", [Code.TAKEN_OVER, Code.BAD_TOKEN])
def test_a_final_code_of_a_remote_that_has_proven_itself_ends_the_origin(world, code):
    async def story(world):
        await world.up()
        closing(code)(world.link.other, None)
        with pytest.raises(Refused) as caught:
            await world.origin.wait_closed()
        assert caught.value.code == code
        await settle()
        world.origin._failure = None

    world(story)
