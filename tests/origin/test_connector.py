"""The origin establishes its first link: back-off, and what it reports meanwhile."""

from __future__ import annotations

from itertools import pairwise

import pytest
from role_doubles import of_type

from quictunnel.errors import Refused
from quictunnel.events import (
    GrantedService,
    LinkAttemptFailed,
    LinkEstablished,
    PathKind,
    ServicesGranted,
)
from quictunnel.origin import connector
from quictunnel.origin.link_dialing import ATTEMPT_TIMEOUT, WEBSOCKET_DELAY
from quictunnel.protocol.codes import Code
from quictunnel.protocol.link_id import link_id
from testkit.clock import seconds


def test_the_link_and_the_granted_services_are_reported(world):
    async def story(world):
        await world.up()
        link, services = world.events[-2:]
        assert link == LinkEstablished(
            "192.0.2.1:1001",
            0.02,
            900.0,
            remote_restarted=False,
            link=link_id(world.links[-1].exporter),
        )
        granted = GrantedService("default", "198.51.100.1:9000")
        assert services == ServicesGranted("192.0.2.1:1001", (granted,), is_first=True)

    world(story)


def test_a_network_in_which_udp_has_failed_gets_the_websocket_at_once(world):
    async def story(world):
        world.path = PathKind.WEBSOCKET
        await world.up()
        assert world.established[0].path is PathKind.WEBSOCKET
        world.link.die()
        world.path = PathKind.UDP
        await seconds(1)
        world.link.die()
        await seconds(1)
        assert len(world.established) == 3
        assert world.websocket_delays == [WEBSOCKET_DELAY, 0, WEBSOCKET_DELAY]

    world(story)


def test_it_retries_until_the_remote_answers(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(60)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts)]
        assert 0.1 < gaps[0] < 0.4
        assert max(gaps) < 0.8
        world.reachable = True
        await seconds(1)
        assert len(world.established) == 1

    world(story)


def test_a_remote_that_has_not_answered_for_long_is_dialled_rarely(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(3600)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts)]
        assert min(gaps[-100:]) > 15
        assert max(gaps) < 25
        world.reachable = True
        await seconds(30)
        assert len(world.established) == 1

    world(story)


def test_the_same_failure_is_reported_once(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(60)
        assert len(world.attempts) > 4
        (failed,) = of_type(world.events, LinkAttemptFailed)
        assert failed == LinkAttemptFailed(
            "remote.example:9001", "no answer within 10 s", beside_silent_link=False
        )

    world(story)


def test_a_failure_is_reported_again_after_a_while_and_after_another_link(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(2 * connector.REPORT_INTERVAL)
        assert len(world.failures) == 2
        world.reachable = True
        await seconds(30)
        world.reachable = False
        world.link.die()
        await seconds(60)
        assert len(world.failures) == 3

    world(story)


def test_alternating_reasons_are_reported_once_each(world):
    async def story(world):
        for number in range(4):
            world.origin._connector.report_failure(f"reason {number % 2}")
        assert world.failures == ["reason 0", "reason 1"]

    world(story)


def test_the_number_of_remembered_reasons_is_limited(world):
    async def story(world):
        for number in range(1000):
            world.origin._connector.report_failure(f"reason {number}")
        assert len(world.origin._connector._reported) <= connector.MAX_REASONS

    world(story)


def test_the_first_attempt_fails_within_five_seconds(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(20)
        assert world.time_limits[0] < 4
        assert set(world.time_limits[1:]) == {ATTEMPT_TIMEOUT}

    world(story)


def test_a_refused_certificate_without_a_token_mentions_the_token(world):
    async def story(world):
        world.refusal = Refused(Code.BAD_CERTIFICATE, "the remote's certificate does not verify")
        await world.origin.start()
        with pytest.raises(Refused, match=r"^no token was given, and the remote's certificate"):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story, token=None)
