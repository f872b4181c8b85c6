"""An origin withdraws a service whose server does not work, and offers it again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from role_doubles import of_type

from quictunnel.config.health import HealthCheck
from quictunnel.events import ServiceHealthy, ServicesGranted, ServiceUnhealthy
from quictunnel.origin.health import CheckFailed
from quictunnel.origin.health_probe import HealthProbe
from testkit.clock import seconds, settle

CHECK = HealthCheck(interval=1.0, failures=2)
DETECTED = 5.0
"""Seconds in which a change of the server's health is noticed and sent."""


@pytest.fixture
def server(monkeypatch):
    """The origin server: a set that contains the reason why it does not work, or nothing."""
    reasons: set[str] = set()

    async def run(_probe):
        for reason in reasons:
            raise CheckFailed(reason)

    monkeypatch.setattr(HealthProbe, "run", run)
    return reasons


def is_served(world) -> bool:
    return world.house.registry.find("default") is not None


def test_clients_of_an_unhealthy_service_are_treated_as_without_an_origin(world, server):
    async def story(world):
        await world.up()
        current = await world.client()
        server.add("connection refused")
        await seconds(DETECTED)
        assert not is_served(world)
        assert not current.is_over
        late = await world.client()
        assert not late.is_over
        await seconds(10)
        assert late.was_reset
        waiting = await world.client()
        server.clear()
        await seconds(DETECTED)
        assert is_served(world)
        assert not waiting.is_over
        assert world.house.admission.pending == 0
        assert len(world.established) == 1
        assert [event.reason for event in of_type(world.events, ServiceUnhealthy)] == [
            "connection refused"
        ]
        assert len(of_type(world.events, ServiceHealthy)) == 1
        grants = [len(event.services) for event in of_type(world.events, ServicesGranted)]
        assert grants == [1, 0, 1]

    world(story, check=CHECK)


def test_an_origin_without_a_healthy_service_reconnects(world, server):
    async def story(world):
        await world.up()
        server.add("connection refused")
        await seconds(DETECTED)
        world.link.die()
        await seconds(1)
        assert len(world.established) == 2
        await seconds(100)
        assert not world.link.is_closed
        assert not is_served(world)
        server.clear()
        await seconds(DETECTED)
        assert is_served(world)
        assert len(world.established) == 2

    world(story, check=CHECK)


def test_a_service_may_be_unhealthy_before_the_first_link(world, server):
    async def story(world):
        world.reachable = False
        server.add("connection refused")
        await world.origin.start()
        await seconds(60)
        world.reachable = True
        await seconds(30)
        assert len(world.established) == 1
        assert not is_served(world)
        server.clear()
        await seconds(DETECTED)
        assert is_served(world)

    world(story, check=CHECK)


def test_a_service_whose_check_is_removed_is_offered_again(world, server):
    async def story(world):
        await world.up()
        server.add("connection refused")
        await seconds(DETECTED)
        (service,) = world.settings.services
        changed = replace(world.settings, services=(replace(service, check=None),))
        assert world.origin.apply(changed) == set()
        await settle()
        assert is_served(world)
        await seconds(DETECTED)
        assert is_served(world)

    world(story, check=CHECK)


def test_a_service_gets_a_check_while_it_is_served(world, server):
    async def story(world):
        await world.up()
        server.add("connection refused")
        await seconds(100)
        assert is_served(world)
        (service,) = world.settings.services
        world.origin.apply(replace(world.settings, services=(replace(service, check=CHECK),)))
        await seconds(DETECTED)
        assert not is_served(world)

    world(story)


def test_a_bug_in_a_check_ends_the_origin_with_its_error(world, monkeypatch):
    async def run(_probe):
        raise ZeroDivisionError

    monkeypatch.setattr(HealthProbe, "run", run)

    async def story(world):
        await world.up()
        await seconds(DETECTED)
        with pytest.raises(ZeroDivisionError):
            await world.origin.wait_closed()
        world.origin.abort()
        world.end = world.close_links  # `wait_closed` raises the error again

    world(story, check=CHECK)
