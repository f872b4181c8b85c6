"""An origin describes its services, clients and links, and whether it is ready."""

from __future__ import annotations

import random

import pytest
from role_doubles import origin_session
from scripted_remote import CLIENT, ScriptedRemote

from quictunnel.config.health import HealthCheck
from quictunnel.events import discard_event
from quictunnel.origin.health import CheckFailed, HealthMonitor
from quictunnel.origin.health_probe import HealthProbe
from quictunnel.origin.observation import LEFT_OUT, NO_LINK, NOT_JUDGED, OriginView
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import MAX_SERVICES, RefusedService, Service
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.session.observation import client_snapshots
from testkit.clock import seconds, settle, virtual_time

CHECK = HealthCheck(interval=1.0, failures=2)


@pytest.fixture
def server(monkeypatch):
    """The origin server: a set that contains the reason why it does not work, or nothing."""
    reasons: set[str] = set()

    async def run(_probe):
        for reason in reasons:
            raise CheckFailed(reason)

    monkeypatch.setattr(HealthProbe, "run", run)
    return reasons


def state_of(world):
    (service,) = world.origin.list_services()
    return service.state, service.reason


def readiness_of(world):
    role = world.origin.describe()
    return role.is_ready, role.reason


def test_an_origin_is_ready_while_its_link_answers(world):
    async def story(world):
        assert readiness_of(world) == (False, NO_LINK)
        world.reachable = False
        await world.origin.start()
        await seconds(1)
        reason = f"{NO_LINK}: no answer within 10 s"
        assert (state_of(world), readiness_of(world)) == (("down", reason), (False, reason))
        world.reachable = True
        await seconds(30)
        assert (state_of(world), readiness_of(world)) == (("up", None), (True, None))
        world.go_dark()
        await seconds(2)
        reason = "the remote has not answered for 2 s"
        assert (state_of(world), readiness_of(world)) == (("silent", reason), (False, reason))
        world.light_up()
        await settle()
        assert readiness_of(world) == (True, None)
        world.reachable = False
        world.link.die()
        await settle()
        assert state_of(world)[0] == "down"
        assert not world.origin.describe().is_ready

    world(story)


def test_an_origin_describes_itself(world):
    async def story(world):
        await world.up()
        await world.client()
        await seconds(2)
        role = world.origin.describe()
        assert (role.role, role.name, role.addresses) == ("origin", "box", ("remote.example:9001",))
        assert role.engine in {"quinn", "aioquic"}
        assert (role.clients, role.is_draining) == (1, False)
        assert role.age == pytest.approx(2.1)
        (service,) = world.origin.list_services()
        assert (service.name, service.target) == ("default", "localhost:8000")
        assert (service.places, service.clients) == (("198.51.100.1:9000",), 1)
        assert service.urls == ("tcp://198.51.100.1:9000",)
        (link,) = world.origin.list_links()
        assert (link.services, link.clients) == (("default",), 1)
        assert link.id == world.established[0].link
        world.origin.drain()
        role = world.origin.describe()
        assert (role.is_draining, role.is_ready) == (True, False)
        assert role.reason == "the origin is stopping"

    world(story)


def test_a_service_with_a_check_is_ready_once_the_check_has_succeeded(world, server):
    async def story(world):
        await world.up()
        reason = "service default: its origin server has not been checked yet"
        assert (state_of(world), readiness_of(world)) == (("up", None), (False, reason))
        await seconds(1.5)
        assert readiness_of(world) == (True, None)
        server.add("connection refused")
        await seconds(5)
        assert state_of(world) == ("unhealthy", "connection refused")
        assert readiness_of(world) == (False, "service default: connection refused")
        server.clear()
        await seconds(5)
        assert (state_of(world), readiness_of(world)) == (("up", None), (True, None))

    world(story, check=CHECK)


def test_a_client_is_connecting_until_its_server_answers(world):
    async def story(world):
        await world.up()
        client = await world.client()
        client.send(b"question")
        await seconds(3)
        (listed,) = world.origin.iterate_clients()
        assert (listed.state, listed.service, listed.origin) == ("connecting", "default", None)
        assert (listed.address, listed.age) == ("192.0.2.7:5555", pytest.approx(3))
        assert listed.link == world.established[0].link
        assert world.origin.close_client(listed.id)
        await settle()
        assert client.was_reset
        assert list(world.origin.iterate_clients()) == []
        assert not world.origin.close_client(listed.id)

    world(story)


@virtual_time
async def test_bytes_are_those_of_the_client():
    remote = await ScriptedRemote().established()
    remote.client(encode_v2(CLIENT) + b"question")
    await settle()
    remote.upstream.connections[0].send(b"answer!")
    await settle()
    (client,) = client_snapshots(remote.origin, "origin server", 0.0)
    assert (client.id, client.state) == (CLIENT.client_id, "open")
    assert (client.bytes_up, client.bytes_down) == (8, 7)


@virtual_time
async def test_clients_without_an_id_get_different_ones():
    remote = await ScriptedRemote().established()
    for _ in range(2):
        remote.client(encode_v2(Preamble(service="default")))
    await settle()
    first, second = client_snapshots(remote.origin, "origin server", 0.0)
    assert first.id != second.id
    assert first.address is None


def states_of(remote: ScriptedRemote) -> dict[str, tuple[str, str | None]]:
    session = remote.origin
    checks = HealthMonitor(lambda: None, lambda _: None, discard_event, random.Random(1))
    view = OriginView(
        session.listing.offer,
        checks,
        session,
        [session],
        remote_host="vps.test",
        last_failure=None,
    )
    return {each.name: (each.state, each.reason) for each in view.services()}


@virtual_time
async def test_services_that_the_remote_does_not_grant_are_refused():
    taken = RefusedService(name="ssh", code=Code.SERVICE_TAKEN, message="it is taken")
    remote = await ScriptedRemote("web", "ssh").established(
        services=[Service(name="web")], refused=[taken], max_services=1024
    )
    assert states_of(remote) == {"web": ("up", None), "ssh": ("refused", "it is taken")}


@virtual_time
async def test_services_beyond_the_limit_of_an_older_remote_are_refused():
    names = [f"s{number}" for number in range(MAX_SERVICES + 1)]
    granted = [Service(name=name) for name in names[:MAX_SERVICES]]
    remote = await ScriptedRemote(*names).established(services=granted)
    states = states_of(remote)
    assert states.pop(names[-1]) == ("refused", LEFT_OUT)
    assert set(states.values()) == {("up", None)}


@virtual_time
async def test_a_service_is_down_until_the_remote_has_judged_it():
    remote = await ScriptedRemote(
        *(f"s{number}" for number in range(MAX_SERVICES + 1))
    ).established(services=[], max_services=1024)
    assert set(states_of(remote).values()) == {("down", NOT_JUDGED)}


@virtual_time
async def test_a_session_without_a_link_has_no_clients():
    session, _ = origin_session()
    assert list(client_snapshots(session, "origin server", 0.0)) == []
