"""The remote says goodbye: current clients finish on the old link, new ones use a new link."""

from __future__ import annotations

import asyncio

import pytest
from fake_link import FakeLink
from role_doubles import FakeUpstream, House, Tunnel, of_type

from quictunnel.errors import Refused
from quictunnel.events import DrainStarted, LinkDropped
from quictunnel.origin.client import MAX_LEAVING
from quictunnel.origin.upstream import Upstream
from quictunnel.protocol.codes import Code
from quictunnel.remote.server import STOPPED
from testkit.clock import seconds, settle


class DrainingHouse(House):
    """A remote that stops, and closes each new link at once."""

    def session(self):
        session = super().session()
        asyncio.get_running_loop().call_soon(session.close, Code.GOODBYE, STOPPED)
        return session


@pytest.fixture
def upstream(monkeypatch):
    """Make every connection to the origin server succeed; return a function that lists them."""
    found: list[FakeUpstream] = []

    def connect(_, *args):
        if not found:
            found.append(FakeUpstream())
        return found[0].connect(*args)

    def install():
        monkeypatch.setattr(Upstream, "connect", connect)
        return lambda: found[0].connections

    return install


def say_goodbye(link: FakeLink, grace: float = 30.0) -> None:
    """Let the remote at the other end of a link leave."""
    link.other.protocol.say_goodbye(STOPPED, grace)


def finish(client, server) -> None:
    """End a client's connection in both directions."""
    client.send_eof()
    server.send_eof()


def test_a_new_link_serves_new_clients_at_once_while_others_finish_on_the_old_one(world, upstream):
    async def story(world):
        servers = upstream()
        await world.up()
        await seconds(60)
        old_client, old_link = await world.client(), world.link
        world.house = House(instance="second")
        say_goodbye(old_link)
        await seconds(0.06)  # a connection takes 0.05
        assert len(world.established) == 2
        new_client = await world.client()
        old_client.send(b"old")
        new_client.send(b"new")
        await settle()
        assert [server.written for server in servers()] == [b"old", b"new"]
        finish(old_client, servers()[0])
        await seconds(1)
        assert (old_client.was_closed, old_client.was_reset) == (True, False)
        assert old_link.is_closed
        assert not new_client.is_over
        assert of_type(world.events, LinkDropped) == []
        await seconds(60)
        assert len(world.established) == 2

    world(story)


def test_clients_of_a_leaving_session_have_the_remotes_grace(world, upstream):
    async def story(world):
        upstream()
        await world.up()
        await seconds(60)
        client, link = await world.client(), world.link
        world.house = House(instance="second")
        say_goodbye(link, grace=5.0)
        await seconds(4)
        assert not client.is_over
        await seconds(2)
        assert client.was_reset
        await seconds(5)
        assert link.is_closed
        assert len(world.established) == 2

    world(story)


def test_a_stopping_remote_that_refuses_new_links_keeps_its_clients(world, upstream):
    async def story(world):
        servers = upstream()
        await world.up()
        await seconds(60)
        client, link = await world.client(), world.link
        world.house = DrainingHouse()
        say_goodbye(link)
        await seconds(25)
        assert not client.is_over
        assert not link.is_closed
        assert 4 < len(world.attempts) < 12
        assert world.failures == [STOPPED]
        finish(client, servers()[0])
        await settle()
        world.house = House(instance="second")
        await seconds(1)  # the end of the old link resets the back-off
        assert [event.reason for event in of_type(world.events, LinkDropped)] == [STOPPED]
        assert len(world.established) == 2

    world(story)


def test_a_refusal_is_final_only_after_the_leaving_session_has_ended(world, upstream):
    async def story(world):
        servers = upstream()
        await world.up()
        await seconds(60)
        client, link = await world.client(), world.link
        world.refusal = Refused(Code.NOT_ALLOWED, "the token has expired", is_proven=True)
        say_goodbye(link)
        await seconds(20)
        assert not client.is_over
        assert world.failures == ["the token has expired"]
        finish(client, servers()[0])
        with pytest.raises(Refused, match="the token has expired"):
            await world.origin.wait_closed()
        assert (client.was_closed, client.was_reset) == (True, False)
        world.origin._failure = None

    world(story)


def test_an_origin_that_is_taken_over_lets_the_clients_of_a_leaving_session_finish(world, upstream):
    async def story(world):
        servers = upstream()
        await world.up()
        await seconds(60)
        client, link = await world.client(), world.link
        world.house = House(instance="second")
        say_goodbye(link)
        await seconds(5)
        await Tunnel(world.house, take_over=True).up()
        ended = asyncio.ensure_future(world.origin.wait_closed())
        await seconds(5)
        assert not client.is_over
        assert not ended.done()
        finish(client, servers()[0])
        with pytest.raises(Refused, match="has taken over; give each origin its own"):
            await ended
        assert (client.was_closed, client.was_reset) == (True, False)
        world.origin._failure = None

    world(story)


def test_a_drain_ends_the_current_and_the_leaving_session(world, upstream):
    async def story(world):
        servers = upstream()
        await world.up()
        await seconds(60)
        clients, old_link = [await world.client()], world.link
        world.house = House(instance="second")
        say_goodbye(old_link)
        await seconds(1)
        clients.append(await world.client())
        world.origin.drain()
        ended = asyncio.ensure_future(world.origin.wait_closed())
        assert of_type(world.events, DrainStarted) == [DrainStarted(clients=2, grace=30.0)]
        await seconds(10)
        assert not any(client.is_over for client in clients)
        for client, server in zip(clients, servers(), strict=True):
            assert not ended.done()
            finish(client, server)
            await seconds(1)
        await ended
        assert not any(client.was_reset for client in clients)
        assert all(link.is_closed for link in world.links)

    world(story)


def test_an_abort_ends_the_current_and_the_leaving_session(world, upstream):
    async def story(world):
        upstream()
        await world.up()
        await seconds(60)
        clients, old_link = [await world.client()], world.link
        world.house = House(instance="second")
        say_goodbye(old_link)
        await seconds(1)
        clients.append(await world.client())
        world.origin.abort()
        await world.origin.wait_closed()
        await settle()
        assert all(client.was_reset for client in clients)

    world(story)


def test_the_number_of_leaving_sessions_is_limited(world, upstream):
    async def story(world):
        upstream()
        await world.up()
        clients = []
        for number in range(MAX_LEAVING + 1):
            await seconds(60)
            clients.append(await world.client())
            link, world.house = world.link, House(instance=str(number))
            say_goodbye(link, grace=3600.0)
            await seconds(1)
        assert [client.was_reset for client in clients] == [True] + [False] * MAX_LEAVING
        assert [link.is_closed for link in world.links] == [True] + [False] * (MAX_LEAVING + 1)

    world(story)


def test_a_remote_that_says_goodbye_at_once_each_time_is_retried_with_back_off(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed and not world.link.other.is_closed:
                say_goodbye(world.link)
        assert len(world.links) < 12

    world(story)
