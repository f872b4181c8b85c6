"""Host names that origins ask for: which ones they get, and which route a client's name has."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, replace

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.grants import Grant
from quictunnel.config.settings import RemoteSettings
from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.remote import host_routes as module
from quictunnel.remote.host_routes import HostRoutes
from quictunnel.remote.registry import Identity
from testkit.clock import seconds, virtual_time

LAPTOP, DESKTOP = Identity("t", "laptop"), Identity("t", "desktop")
STRANGER = Identity("u", "laptop")
CLIENT_WAIT = 10.0


@dataclass
class FakePlace:
    """A place for clients, without a socket."""

    protocol: str
    port: int


TLS, HTTP = FakePlace("tls", 443), FakePlace("http", 80)


class FakeSockets:
    """The names that have sockets, and each change of them."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.changes: list[str] = []

    def add(self, host):
        if host == "full.test":
            raise Refused(Code.NOT_ALLOWED, "no room")
        if host not in self.names:
            self.names.add(host)
            self.changes.append(f"+{host}")

    def remove(self, host):
        if host in self.names:
            self.names.remove(host)
            self.changes.append(f"-{host}")


class Names:
    """The host names of a remote."""

    def __init__(self, *allowed: str, places=(TLS, HTTP), sockets=None) -> None:
        self.rejected: list[str] = []
        self.serving: dict[str, set[Identity]] = {}
        self.settings = RemoteSettings(
            outside=HostPort("127.0.0.1", 0), hosts=allowed or ("*",), client_wait=CLIENT_WAIT
        )
        self.routes = HostRoutes(
            self.settings,
            lambda key, _: self.rejected.append(key),
            lambda key: self.serving.get(key, set()),
            sockets,
        )
        for place in places:
            self.routes.add_place(place)

    def ask(self, host, protocol=None, *, name="web", identity=LAPTOP, beside=(), **more):
        """Obtain a route, and claim it."""
        service = Service(name=name, host=host, protocol=protocol, **more)
        route = self.routes.obtain(identity, service, beside)
        self.routes.hold(route, identity, name)
        return route

    def refusal(self, *arguments, **more) -> Refused:
        with pytest.raises(Refused) as caught:
            self.ask(*arguments, **more)
        return caught.value

    def found(self, name, protocol="http") -> str | None:
        """Return the host of the route that a client's name has."""
        route = self.routes.find(protocol, name)
        return None if route is None else route.host


@virtual_time
async def test_the_most_specific_name_wins():
    names = Names()
    for host in ("*", "*.example.com", "*.b.example.com", "www.example.com"):
        names.ask(host)
    found = {
        "www.example.com": "www.example.com",
        "x.example.com": "*.example.com",
        "x.y.example.com": "*.example.com",
        "x.b.example.com": "*.b.example.com",
        "example.com": "*",
        None: "*",
    }
    assert {name: names.found(name) for name in found} == found


@virtual_time
async def test_without_a_fallback_other_names_have_no_route():
    names = Names()
    names.ask("*.example.com")
    assert (names.found("example.com"), names.found(None)) == (None, None)


@virtual_time
async def test_a_protocol_limits_a_name_to_the_clients_that_speak_it():
    names = Names()
    secure = names.ask("www.example.com", "tls", name="secure")
    plain = names.ask("www.example.com", "http", name="plain", identity=DESKTOP)
    assert names.routes.find("tls", "www.example.com") is secure
    assert names.routes.find("http", "www.example.com") is plain
    names.ask("only.example.com", "tls")
    assert names.found("only.example.com") is None


@pytest.mark.parametrize(
    ("places", "protocol", "address"),
    [
        ((TLS, HTTP), None, "www.example.com:443,80"),
        ((TLS, HTTP), "tls", "www.example.com:443"),
        ((TLS, HTTP), "http", "www.example.com:80"),
        ((HTTP,), None, "www.example.com:80"),
    ],
)
@virtual_time
async def test_the_address_has_the_ports_of_its_places(places, protocol, address):
    assert Names(places=places).ask("WWW.Example.com.", protocol).address == address


@virtual_time
async def test_the_longest_address_fits_a_message():
    host = ".".join(["a" * 63] * 3 + ["b" * 61])
    route = Names(places=(FakePlace("tls", 65535), FakePlace("http", 65534))).ask(host)
    assert route.address == f"{host}:65535"


@pytest.mark.parametrize(
    ("places", "protocol", "sentence"),
    [
        (
            (),
            None,
            "the remote has no listener for host a.test; start it with --tls, --http or --sockets",
        ),
        ((HTTP,), "tls", "the remote has no listener for host a.test; start it with --tls"),
        (
            (TLS,),
            "http",
            "the remote has no listener for host a.test; start it with --http or --sockets",
        ),
    ],
)
@virtual_time
async def test_a_remote_without_a_listener_for_it_refuses(places, protocol, sentence):
    refusal = Names(places=places).refusal("a.test", protocol)
    assert (refusal.code, refusal.message) == (Code.NOT_ALLOWED, sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"host": "192.0.2.1"}, "the service 'web': '192.0.2.1' is an IP address, not a host name"),
        ({"host": "a b"}, "the service 'web': 'a b' is not a host name; write www.example.com"),
        ({"host": ""}, "the service 'web': '' is not a host name"),
        ({"host": "a.*.test"}, "the service 'web': 'a.*.test' is not a host name"),
        ({"host": "a.test", "protocol": "quic"}, "the service 'web': 'quic' is not tls or http"),
        ({"host": "a.test", "port": 80}, "a service has a port or a host name, not both"),
        ({"host": "a.test", "ports": "1-9"}, "a service has a port or a host name, not both"),
        ({"host": "a.test", "name": "default"}, "'default' is at the outside address only"),
    ],
)
@virtual_time
async def test_what_is_not_valid_is_refused(arguments, sentence):
    refusal = Names().refusal(**arguments)
    assert refusal.code == Code.NOT_ALLOWED
    assert sentence in refusal.message


@virtual_time
async def test_only_allowed_names_are_granted():
    names = Names("www.example.com", "*.example.org")
    for host in ("www.example.com", "a.example.org", "*.example.org", "*.a.example.org"):
        names.ask(host)
    for host in ("example.com", "example.org", "*.example.com", "*.org", "*"):
        refusal = names.refusal(host)
        assert refusal.code == Code.NOT_ALLOWED
        assert refusal.message.startswith(f"the remote does not let origins have host {host};")
    assert refusal.message.endswith("allow it there with --hosts '*'")


@virtual_time
async def test_a_grant_decides_which_names_its_token_may_have():
    names = Names("a.test")
    changed = replace(names.settings, grants={"u": Grant(hosts=("b.test",))})
    names.routes.apply(changed)
    names.ask("b.test", identity=STRANGER)
    assert names.refusal("a.test", identity=STRANGER).message == (
        "the token does not allow host a.test"
    )
    assert "--hosts" in names.refusal("b.test").message


@virtual_time
async def test_a_name_is_kept_for_its_token_while_it_is_served():
    names = Names()
    route = names.ask("a.test")
    assert names.ask("a.test", identity=DESKTOP, name="other") is route  # the registry decides
    assert route.name == "other"
    refusal = names.refusal("a.test", identity=STRANGER)
    assert (refusal.code, refusal.message) == (
        Code.SERVICE_TAKEN,
        "another service already has host a.test",
    )


@pytest.mark.parametrize(("first", "second"), [(None, "tls"), ("http", None)])
@virtual_time
async def test_protocols_of_a_name_do_not_overlap(first, second):
    names = Names()
    names.ask("a.test", first)
    assert names.refusal("a.test", second, identity=DESKTOP).code == Code.SERVICE_TAKEN
    assert names.rejected == []


@virtual_time
async def test_a_name_is_kept_for_its_token_for_a_while():
    names = Names()
    route = names.ask("a.test")
    names.routes.free(route.key)
    await seconds(CLIENT_WAIT - 3)
    refusal = names.refusal("a.test", identity=STRANGER)
    assert (refusal.code, refusal.message) == (
        Code.SERVICE_TAKEN,
        "an origin with another token had host a.test and may return; try again in 3 s",
    )
    assert names.rejected == []
    assert names.ask("a.test") is route


@virtual_time
async def test_another_origin_of_the_token_gets_a_name_that_no_origin_serves_at_once():
    names = Names()
    both = names.ask("a.test")
    names.routes.free(both.key)
    secure = names.ask("a.test", "tls", identity=DESKTOP)
    assert names.rejected == [both.key]
    assert names.routes.find("tls", "a.test") is secure


@virtual_time
async def test_another_token_gets_a_name_that_no_origin_has_served_for_a_while():
    names = Names()
    route = names.ask("a.test")
    names.routes.free(route.key)
    await seconds(CLIENT_WAIT + 1)
    other = names.ask("a.test", identity=STRANGER)
    assert other.key != route.key
    assert names.rejected == [route.key]
    assert names.routes.find("tls", "a.test") is other
    await asyncio.sleep(2 * CLIENT_WAIT)
    assert names.routes.find("tls", "a.test") is other


@virtual_time
async def test_a_shared_name_stays_as_long_as_another_origin_serves_it():
    names = Names()
    both = names.ask("a.test")
    names.serving[both.key] = {LAPTOP, DESKTOP}
    refusal = names.refusal("a.test", "tls")
    assert refusal.message == "another service already has host a.test"
    names.serving[both.key] = {LAPTOP}
    assert names.ask("a.test", "tls") is not both
    assert names.rejected == [both.key]


@virtual_time
async def test_an_origin_may_change_the_protocol_of_its_name():
    names = Names()
    both = names.ask("a.test")
    secure = names.ask("a.test", "tls")
    assert names.rejected == [both.key]
    assert names.routes.find("tls", "a.test") is secure
    assert names.found("a.test", "http") is None
    plain = names.ask("a.test", "http", beside=[secure])
    refusal = names.refusal("a.test", beside=[secure, plain])
    assert refusal.message == "another service already has host a.test"
    again = names.ask("a.test")  # one route in place of two
    assert set(names.rejected) == {both.key, secure.key, plain.key}
    assert names.routes.find("http", "a.test") is again


@virtual_time
async def test_a_name_without_an_origin_stays_known():
    names = Names()
    route = names.ask("a.test")
    names.routes.free(route.key)
    names.routes.free(route.key)
    await asyncio.sleep(100 * CLIENT_WAIT)
    assert names.routes.find("tls", "a.test") is route
    assert names.rejected == []
    assert names.ask("a.test") is route


@virtual_time
async def test_a_less_specific_name_waits_for_an_origin_that_restarts():
    names = Names()
    route, wildcard = names.ask("a.test"), names.ask("*.test", name="all")
    names.routes.free(route.key)
    await asyncio.sleep(CLIENT_WAIT - 1)
    assert names.found("a.test") == "a.test"
    await asyncio.sleep(2)
    assert names.found("a.test") == "*.test"
    names.routes.free(wildcard.key)
    await asyncio.sleep(CLIENT_WAIT + 1)
    assert names.found("a.test") == "a.test"
    for host in ("a.test", "*.test"):
        names.ask(host)
    assert names.found("a.test") == "a.test"


@virtual_time
async def test_an_origin_that_returns_in_time_stays_the_most_specific_one():
    names = Names()
    route = names.ask("a.test")
    names.ask("*.test", name="all")
    names.routes.free(route.key)
    await asyncio.sleep(CLIENT_WAIT - 1)
    names.ask("a.test")
    await asyncio.sleep(CLIENT_WAIT)
    assert names.found("a.test") == "a.test"


@virtual_time
async def test_few_names_without_an_origin_are_known(monkeypatch):
    monkeypatch.setattr(module, "MAX_FREE_NAMES", 2)
    names = Names()
    routes = [names.ask(f"{letter}.test") for letter in "abcd"]
    names.routes.free(routes[1].key)
    await asyncio.sleep(CLIENT_WAIT + 1)
    for number in (0, 2):
        names.routes.free(routes[number].key)
    assert names.rejected == [routes[1].key]
    known = [names.found(f"{letter}.test") for letter in "abcd"]
    assert known == ["a.test", None, "c.test", "d.test"]
    names.ask("b.test", identity=STRANGER)


@virtual_time
async def test_no_token_displaces_the_names_of_others(monkeypatch):
    monkeypatch.setattr(module, "MAX_FREE_NAMES", 2)
    names = Names()
    own = names.ask("own.test")
    theirs = [names.ask(f"{letter}.test", identity=STRANGER) for letter in "abcd"]
    for route in (own, *theirs):
        names.routes.free(route.key)
    assert names.rejected == [route.key for route in theirs[:3]]
    assert names.found("own.test") == "own.test"


@virtual_time
async def test_a_name_that_is_about_to_be_served_is_not_dropped(monkeypatch):
    monkeypatch.setattr(module, "MAX_FREE_NAMES", 1)
    names = Names()
    route, first, second = (names.ask(f"{letter}.test") for letter in "abc")
    names.routes.free(route.key)
    await seconds(CLIENT_WAIT + 1)
    assert names.routes.obtain(LAPTOP, Service(name="web", host="a.test")) is route
    for other in (first, second):
        names.routes.free(other.key)
    names.routes.hold(route, LAPTOP, "web")
    assert names.rejected == [first.key]
    await seconds(CLIENT_WAIT + 1)
    assert names.routes.find("tls", "a.test") is route


@virtual_time
async def test_names_that_are_no_longer_allowed_are_removed():
    names = Names("a.test", "b.test", "c.test")
    kept, gone, free = (names.ask(f"{letter}.test") for letter in "abc")
    names.routes.free(free.key)
    await asyncio.sleep(CLIENT_WAIT + 1)
    changed = replace(names.settings, hosts=("a.test",))
    assert names.routes.apply(changed) == names.rejected == [gone.key, free.key]
    assert [names.found(f"{letter}.test") for letter in "abc"] == [kept.host, None, None]
    names.routes.free(gone.key)  # as the registry reports it then


@virtual_time
async def test_the_key_says_which_services_want_the_same_route():
    names = Names()
    route = names.ask("a.test", "tls")
    service = Service(name="x", host="A.test", protocol="tls")
    assert names.routes.key(DESKTOP, service) == route.key
    assert names.routes.key(STRANGER, service) != route.key
    assert names.routes.key(LAPTOP, Service(name="x", host="a b")) is None


@virtual_time
async def test_timers_end_with_the_routes():
    names = Names()
    route = names.ask("a.test")
    names.routes.free(route.key)
    names.routes.close()
    assert route.closing is None


@virtual_time
async def test_names_whose_clients_speak_http_have_sockets():
    sockets = FakeSockets()
    names = Names(sockets=sockets)
    names.ask("any.test", name="any")
    names.ask("http.test", "http", name="http")
    names.ask("tls.test", "tls", name="tls")
    assert sockets.names == {"any.test", "http.test"}


@virtual_time
async def test_a_socket_is_enough_for_a_name_and_has_no_port():
    names = Names(places=(), sockets=FakeSockets())
    assert names.ask("a.test").address == "a.test"
    assert names.ask("b.test", "http").address == "b.test"
    assert "start it with --tls" in names.refusal("c.test", "tls").message


@virtual_time
async def test_a_name_without_room_for_its_socket_is_refused_and_has_no_route():
    names = Names(sockets=FakeSockets())
    assert names.refusal("full.test").message == "no room"
    assert names.found("full.test") is None


@virtual_time
async def test_a_name_that_is_set_aside_has_no_socket_until_its_origin_returns():
    sockets = FakeSockets()
    names = Names(sockets=sockets)
    route = names.ask("a.test")
    names.routes.free(route.key)
    await seconds(CLIENT_WAIT - 1)
    assert sockets.names == {"a.test"}
    await seconds(2)
    assert sockets.names == set()
    names.ask("a.test")
    assert sockets.changes == ["+a.test", "-a.test", "+a.test"]


@virtual_time
async def test_a_socket_stays_when_another_route_replaces_that_of_the_name():
    sockets = FakeSockets()
    names = Names(sockets=sockets)
    names.ask("a.test")
    names.ask("a.test", "http")
    assert sockets.changes == ["+a.test"]
    names.ask("a.test", "tls", name="other")
    assert sockets.changes == ["+a.test"]


@virtual_time
async def test_a_name_that_is_no_longer_allowed_has_no_socket():
    sockets = FakeSockets()
    names = Names(sockets=sockets)
    names.ask("a.test")
    names.routes.apply(replace(names.settings, hosts=()))
    assert sockets.names == set()


@virtual_time
async def test_a_site_is_a_name_for_http_that_a_service_has_or_covers():
    names = Names()
    for host, protocol in (("a.test", None), ("*.b.test", "http"), ("c.test", "tls")):
        names.ask(host, protocol, name=host)
    known = {"a.test": True, "x.b.test": True, "b.test": False, "c.test": False}
    assert {name: names.routes.has_site(name) for name in known} == known


@virtual_time
async def test_the_service_for_all_names_makes_no_name_a_site_and_hides_none():
    names = Names()
    route = names.ask("a.test", name="a")
    names.ask("*", name="all")
    assert names.routes.has_site("a.test")
    assert not names.routes.has_site("b.test")
    names.routes.free(route.key)
    await seconds(CLIENT_WAIT + 1)
    assert names.found("a.test") == "*"
    assert names.routes.has_site("a.test")


@pytest.mark.parametrize("seed", range(20))
@virtual_time
async def test_each_known_name_has_one_route_whatever_happens(monkeypatch, seed):
    monkeypatch.setattr(module, "MAX_FREE_NAMES", 3)
    rng = random.Random(seed)
    sockets = FakeSockets()
    names = Names(sockets=sockets)
    hosts = ["*", "*.test", "a.test", "b.test", "c.test", "*.a.test"]
    for _ in range(300):
        action = rng.randrange(8)
        keys = list(names.routes._routes)
        if action < 4:
            identity = rng.choice([LAPTOP, DESKTOP, STRANGER])
            with contextlib.suppress(Refused):
                names.ask(rng.choice(hosts), rng.choice([None, "tls", "http"]), identity=identity)
        elif action < 6 and keys:
            names.routes.free(rng.choice(keys))
        elif action == 6:
            await asyncio.sleep(rng.choice([1, CLIENT_WAIT]))
        else:
            allowed = tuple(rng.sample(hosts, 4))
            names.routes.apply(replace(names.settings, hosts=allowed))
        known = names.routes._routes.values()
        free = {route.key for route in names.routes._free}
        aside = {route.key for route in names.routes._free if route.closing is None}
        assert sockets.names == {
            route.host
            for route in known
            if "http" in protocols_of(route) and route.key not in aside
        }
        slots = [(each, route.host) for route in known for each in protocols_of(route)]
        assert len(slots) == len(set(slots))
        for protocol, host in slots:
            # The route's own name finds it, unless a less specific one is served instead.
            found = names.routes.find(protocol, None if host == "*" else host.replace("*", "x"))
            assert found is not None
            own = next(r for r in known if r.host == host and protocol in protocols_of(r))
            assert found is own or own.key in free or len(found.host) > len(host)
        assert len(names.routes._free) <= 3
    names.routes.close()


def protocols_of(route) -> tuple[str, ...]:
    return ("tls", "http") if route.protocol is None else (route.protocol,)
