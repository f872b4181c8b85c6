"""Ports that origins ask for: which ones they get, and when the ports are open."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.grants import Grant
from quictunnel.config.ports import PortRange
from quictunnel.config.settings import RemoteSettings
from quictunnel.errors import Refused
from quictunnel.events import discard_event
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.remote import outside_listener
from quictunnel.remote import routes as module
from quictunnel.remote.registry import Identity
from quictunnel.remote.routes import MAX_ATTEMPTS, Routes
from testkit.clock import virtual_time
from testkit.programs import free_ports
from testkit.tunnel import LOOPBACK

LAPTOP, DESKTOP = Identity("t", "laptop"), Identity("t", "desktop")
STRANGER = Identity("u", "laptop")
CLIENT_WAIT = 10.0


class Abort(asyncio.Protocol):
    """Aborts a client's connection."""

    def connection_made(self, transport):
        transport.abort()


class Place:
    """The routes of a remote on loopback that lets origins have a few free ports."""

    def __init__(self, count: int = 4) -> None:
        self.first = free_ports(count)
        self.clients: list[str] = []
        self.rejected: list[str] = []
        self.serving: dict[str, set[Identity]] = {}
        self.settings = RemoteSettings(
            outside=HostPort(LOOPBACK, 0),
            ports=(PortRange(self.first, self.first + count - 1),) if count else (),
            client_wait=CLIENT_WAIT,
        )
        self.routes = Routes(
            self.settings,
            self.arrived,
            lambda key, _: self.rejected.append(key),
            lambda key: self.serving.get(key, set()),
            emit=discard_event,
        )

    async def up(self) -> Place:
        await self.routes.bind()
        self.routes.serve()
        return self

    def arrived(self, route):
        self.clients.append(route.name)
        return Abort()

    def ask(self, port=0, *, name="web", identity=LAPTOP, ports=None):
        """Obtain a route at a port counted from the first allowed one, and claim it."""
        port = None if ports else port and self.first + port - 1
        route = self.routes.obtain(identity, Service(name=name, port=port, ports=ports))
        self.routes.hold(route, identity, name)
        return route

    def range(self, first: int, last: int) -> str:
        return f"{self.first + first - 1}-{self.first + last - 1}"

    def refusal(self, *arguments, **more) -> Refused:
        with pytest.raises(Refused) as caught:
            self.ask(*arguments, **more)
        return caught.value


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) == 0


@pytest.fixture
def story(monkeypatch):
    """Runs a test with a place in virtual time, and closes the routes at the end."""

    async def resolve(_):
        return [(socket.AF_INET, LOOPBACK)]

    monkeypatch.setattr(outside_listener, "_resolve", resolve)

    def run(test, *arguments):
        @virtual_time
        async def within():
            place = await Place(*arguments).up()
            try:
                await test(place)
            finally:
                place.routes.close()

        within()

    return run


def test_the_default_service_is_at_the_outside_address(story):
    async def test(place):
        route = place.routes.obtain(LAPTOP, Service(name="default"))
        assert route.address == str(place.routes.outside_address)
        assert route is place.routes.obtain(STRANGER, Service(name="default"))
        place.routes.free(route.key)
        await asyncio.sleep(2 * CLIENT_WAIT)
        assert is_open(place.routes.outside_address.port)

    story(test)


def test_a_remote_has_no_ports_for_origins_by_default(story):
    async def test(place):
        refusal = place.refusal(1)
        assert refusal.code == Code.NOT_ALLOWED
        assert refusal.message.endswith(f"allow it there with --ports {place.first}")
        assert "has no free port" in place.refusal(0).message
        unnamed = place.refusal(None, name="web")
        assert unnamed.message == "the remote has no outside address for the service 'web'"

    story(test, 0)


def test_a_port_is_open_from_the_claim_on(story):
    async def test(place):
        route = place.ask(2, name="ssh")
        assert route.address == f"{LOOPBACK}:{place.first + 1}"
        assert [is_open(place.first + number) for number in range(4)] == [False, True, False, False]
        await asyncio.sleep(0.1)
        assert place.clients == ["ssh"]

    story(test)


def test_a_range_is_one_route(story):
    async def test(place):
        route = place.ask(ports=place.range(2, 4))
        assert route.address == f"{LOOPBACK}:{place.range(2, 4)}"
        assert [is_open(place.first + number) for number in range(4)] == [False, True, True, True]

    story(test)


@pytest.mark.parametrize("ports", ["9-5", "0-9", "1-99999"])
def test_a_range_that_is_none_is_refused(story, ports):
    async def test(place):
        assert place.refusal(ports=ports).code == Code.NOT_ALLOWED

    story(test)


def test_a_range_must_be_allowed_as_a_whole(story):
    async def test(place):
        assert "does not let origins have ports" in place.refusal(ports=place.range(1, 5)).message

    story(test)


def test_a_port_is_kept_for_its_token(story):
    async def test(place):
        route = place.ask(1)
        assert place.ask(1, identity=DESKTOP, name="site") is route  # the registry decides
        assert route.name == "site"
        refusal = place.refusal(1, identity=STRANGER)
        assert (refusal.code, refusal.message) == (
            Code.SERVICE_TAKEN,
            f"another service already has port {place.first}",
        )

    story(test)


def test_ranges_do_not_overlap(story):
    async def test(place):
        place.ask(ports=place.range(1, 3))
        for identity in (DESKTOP, STRANGER):
            assert place.refusal(3, identity=identity).code == Code.SERVICE_TAKEN
            refusal = place.refusal(ports=place.range(3, 4), identity=identity)
            assert refusal.code == Code.SERVICE_TAKEN
        place.ask(4)

    story(test)


def test_a_port_that_no_origin_serves_closes_after_a_while(story):
    async def test(place):
        route = place.ask(1)
        place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT - 1)
        assert is_open(place.first)
        assert place.ask(1) is route
        await asyncio.sleep(2 * CLIENT_WAIT)
        assert is_open(place.first)
        place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT + 1)
        assert not is_open(place.first)
        assert place.rejected == [route.key]

    story(test)


def test_a_port_is_kept_for_its_token_for_a_while(story):
    async def test(place):
        route = place.ask(1)
        place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT - 3)
        for ports in (f"{place.first}", place.range(1, 2)):
            refusal = place.refusal(ports=ports, identity=STRANGER)
            assert (refusal.code, refusal.message) == (
                Code.SERVICE_TAKEN,
                f"an origin with another token had port {place.first} and may return; "
                "try again in 3 s",
            )
        assert (is_open(place.first), place.rejected) == (True, [])
        assert place.ask(1) is route

    story(test)


def test_another_origin_of_the_token_gets_a_port_that_no_origin_serves_at_once(story):
    async def test(place):
        route = place.ask(1)
        place.routes.free(route.key)
        place.ask(ports=place.range(1, 2), identity=DESKTOP)
        assert place.rejected == [route.key]

    story(test)


def test_another_token_gets_a_port_that_no_origin_has_served_for_a_while(story):
    async def test(place):
        route = place.ask(1)
        place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT + 1)
        other = place.ask(1, identity=STRANGER, name="theirs")
        assert other.key != route.key
        assert place.rejected == [route.key]
        await asyncio.sleep(2 * CLIENT_WAIT)
        assert is_open(place.first)

    story(test)


def test_a_free_port_is_the_same_again(story):
    async def test(place):
        names = ["a", "b", "c", "d"]
        ports = {name: place.ask(name=name).ports for name in names}
        assert {ports.first for ports in ports.values()} == set(range(place.first, place.first + 4))
        assert "has no free port" in place.refusal(name="e").message
        for name in reversed(names):
            assert place.ask(name=name).ports == ports[name]
        route = place.ask(name="a")
        place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT + 1)
        assert place.ask(name="a").ports == ports["a"]

    story(test)


def test_a_service_keeps_its_free_port_however_few_closed_ones_are_remembered(story, monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 1)

    async def test(place):
        names = [f"s{number}" for number in range(8)]
        ports = [place.ask(name=name).ports for name in names]
        for _ in range(3):
            assert [place.ask(name=name).ports for name in names] == ports

    story(test, 16)


def test_no_token_displaces_the_closed_ports_of_others(story, monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)

    async def test(place):
        own = place.ask(name="a")
        theirs = [place.ask(name=name, identity=STRANGER) for name in "abcd"]
        for route in (own, *theirs):
            place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT + 1)
        assert len(place.routes._closed) == 2
        assert place.ask(name="a").ports == own.ports

    story(test, 16)


def test_a_free_port_that_another_service_of_the_origin_asks_for_is_replaced(story):
    async def test(place):
        free = place.ask(name="auto-1")
        number = free.ports.first - place.first + 1
        fixed = place.ask(number, name="web")
        assert fixed is free
        other = place.routes.obtain(LAPTOP, Service(name="auto-1", port=0), [fixed])
        assert other.ports != fixed.ports
        place.routes.hold(other, LAPTOP, "auto-1")
        assert place.ask(name="auto-1") is other
        assert place.ask(number, name="web") is fixed

    story(test)


def test_a_service_may_change_from_a_range_to_a_free_port(story):
    async def test(place):
        old = place.ask(ports=place.range(1, 4), name="game")
        assert place.ask(name="game").ports.first - place.first in range(4)
        assert place.rejected == [old.key]

    story(test)


def test_services_of_one_list_search_in_vain_once(story, monkeypatch):
    searches = []
    candidates = Routes._candidates

    def count(routes, identity, name):
        ports = list(candidates(routes, identity, name))
        searches.append(len(ports))
        return iter(ports)

    monkeypatch.setattr(Routes, "_candidates", count)

    async def test(place):
        kept = place.ask(name="kept", identity=STRANGER)
        taken = [
            place.ask(number, name=f"s{number}")
            for number in range(1, 5)
            if place.first + number - 1 != kept.ports.first
        ]
        searches.clear()
        for name in "abc":
            assert "has no free port" in place.refusal(name=name, identity=STRANGER).message
        assert searches == [4, 0, 0]
        assert place.ask(name="kept", identity=STRANGER) is kept
        place.routes.free(taken[0].key)
        await asyncio.sleep(CLIENT_WAIT + 1)
        assert place.ask(name="a", identity=STRANGER).ports == taken[0].ports

    story(test)


def test_a_port_that_closes_ends_a_vain_search(story):
    async def test(place):
        ranged = place.ask(ports=place.range(1, 4), name="game")
        assert "has no free port" in place.refusal(name="web", identity=STRANGER).message
        place.routes.apply(replace(place.settings, ports=(PortRange(place.first, place.first),)))
        assert place.rejected == [ranged.key]
        assert place.ask(name="web", identity=STRANGER).ports.first == place.first

    story(test)


def test_an_origin_may_change_its_range(story):
    async def test(place):
        old = place.ask(ports=place.range(1, 3), name="game")
        new = place.ask(ports=place.range(2, 4), name="game")
        assert place.rejected == [old.key]
        assert [is_open(place.first + number) for number in range(4)] == [False, True, True, True]
        place.routes.free(old.key)
        await asyncio.sleep(2 * CLIENT_WAIT)
        assert is_open(place.first + 3)
        assert place.refusal(ports=place.range(1, 2), identity=DESKTOP).message == (
            f"another service already has ports {new.ports}"
        )

    story(test)


def test_the_ports_of_a_shared_route_stay_as_long_as_another_origin_serves_them(story):
    async def test(place):
        old = place.ask(ports=place.range(1, 2), name="game")
        place.serving[old.key] = {LAPTOP, DESKTOP}
        refusal = place.refusal(ports=place.range(1, 3), name="game")
        assert refusal.message == f"another service already has ports {old.ports}"
        assert place.ask(0, name="game").ports.first > old.ports.last
        place.serving[old.key] = {LAPTOP}
        place.ask(ports=place.range(1, 3), name="game", identity=LAPTOP)
        assert old.key in place.rejected

    story(test)


def test_a_free_port_that_another_origin_has_by_now_is_not_given_again(story):
    async def test(place):
        route = place.ask(name="a")
        place.routes.free(route.key)
        await asyncio.sleep(CLIENT_WAIT + 1)
        number = route.ports.first - place.first + 1
        place.ask(number, name="b", identity=DESKTOP)
        assert place.ask(name="a").ports != route.ports

    story(test)


def test_a_change_of_range_that_fails_changes_nothing(story):
    async def test(place):
        old = place.ask(ports=place.range(1, 2), name="game")
        with socket.create_server((LOOPBACK, place.first + 3)):
            refusal = place.refusal(ports=place.range(1, 4), name="game")
            assert "address already in use" in refusal.message
        assert [is_open(place.first + number) for number in range(3)] == [True, True, False]
        assert place.ask(ports=place.range(1, 2), name="game") is old

    story(test)


def test_a_request_that_is_refused_closes_nothing_of_others(story):
    async def test(place):
        waiting = place.ask(1, name="waiting")
        place.routes.free(waiting.key)
        place.ask(2)
        assert place.refusal(ports=place.range(1, 2), identity=STRANGER).code == Code.SERVICE_TAKEN
        assert (is_open(place.first), place.rejected) == (True, [])

    story(test)


def test_services_of_one_message_do_not_close_each_other(story):
    async def test(place):
        first = place.routes.obtain(LAPTOP, Service(name="a", ports=place.range(1, 2)), [])
        place.routes.hold(first, LAPTOP, "a")
        with pytest.raises(Refused, match="another service already has ports"):
            place.routes.obtain(LAPTOP, Service(name="b", port=place.first), [first])
        for _ in range(20):
            free = place.routes.obtain(LAPTOP, Service(name="c", port=0), [first])
            place.routes.hold(free, LAPTOP, "c")
            assert free.ports.first >= place.first + 2

    story(test)


def test_the_service_default_has_no_port(story):
    async def test(place):
        assert "outside address only" in place.refusal(1, name="default").message

    story(test)


def test_few_ports_are_tried_for_a_free_one(story, monkeypatch):
    tried = []

    def fail(_, port):
        tried.append(port)
        raise OSError(24, "too many open files")

    async def test(place):
        monkeypatch.setattr(Routes, "_listen", lambda self, route, port: fail(route, port))
        place.routes.apply(replace(place.settings, ports=(PortRange(1024, 65535),)))
        assert "has no free port" in place.refusal(0).message
        assert len(tried) == len(set(tried)) == MAX_ATTEMPTS

    story(test)


def test_a_free_port_is_one_that_no_other_program_has(story):
    async def test(place):
        with socket.create_server((LOOPBACK, place.first)):
            taken = place.refusal(1)
            assert taken.code == Code.SERVICE_TAKEN
            assert taken.message.endswith(f"cannot open port {place.first}: address already in use")
            found = {place.ask(name=name).ports.first for name in "abc"}
        assert found == {place.first + number for number in (1, 2, 3)}

    story(test)


def test_a_grant_decides_what_its_token_may_have(story):
    async def test(place):
        own = PortRange(place.first, place.first)
        grants = {"u": Grant(outside=False, ports=(own,))}
        place.routes.apply(replace(place.settings, grants=grants, ports=()))
        assert place.ask(1, identity=STRANGER).ports == own
        full = place.refusal(0, identity=STRANGER, name="auto-1")
        assert full.message == "none of the token's ports is free"
        for refusal in (
            place.refusal(None, name="default", identity=STRANGER),
            place.refusal(2, identity=STRANGER),
        ):
            assert refusal.message.startswith("the token does not allow ")
        place.ask(None, name="default")
        assert "--ports" in place.refusal(2).message

    story(test)


def test_ports_that_are_no_longer_allowed_are_closed(story):
    async def test(place):
        kept, gone, granted = place.ask(1), place.ask(2), place.ask(3, identity=STRANGER)
        grants = {"u": Grant(ports=(granted.ports,))}
        changed = replace(place.settings, ports=(kept.ports,), grants=grants)
        assert place.routes.apply(changed) == [gone.key]
        assert [is_open(place.first + number) for number in range(3)] == [True, False, True]
        assert place.routes.apply(replace(changed, grants={})) == [granted.key]
        assert place.rejected == [gone.key, granted.key]

    story(test)


def test_ports_are_limited(story, monkeypatch):
    monkeypatch.setattr(module, "MAX_PORTS", 2)

    async def test(place):
        place.ask(ports=place.range(1, 2))
        assert place.refusal(3).message == "origins may have 2 ports in all, not more"

    story(test)
