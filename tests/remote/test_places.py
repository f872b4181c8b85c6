"""All places of a remote together, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.ports import PortRange
from quictunnel.config.settings import RemoteSettings
from quictunnel.errors import Refused, SettingsError
from quictunnel.events import discard_event
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.remote.places import Places
from quictunnel.remote.registry import Identity
from testkit.programs import free_port
from testkit.tunnel import LOOPBACK

LAPTOP = Identity("t", "laptop")
ANY = HostPort(LOOPBACK, 0)


class RouteTeller(asyncio.Protocol):
    """Sends the key of a route, and closes the connection."""

    def __init__(self, route) -> None:
        self.route = route

    def connection_made(self, transport):
        transport.write(self.route.key.encode())
        transport.close()


@pytest.fixture
async def make_places():
    made: list[Places] = []

    def make(**settings) -> Places:
        places = Places(
            RemoteSettings(outside=ANY, **settings),
            lambda _: asyncio.Protocol(),
            lambda _: asyncio.Protocol(),
            RouteTeller,
            reject_waiting=lambda *_: None,
            origins_at=lambda _: set(),
            emit=discard_event,
        )
        made.append(places)
        return places

    yield make
    for places in made:
        places.close()


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) == 0


async def test_a_service_gets_a_port_or_a_name(make_places):
    port = free_port()
    places = make_places(tls=ANY, http=ANY, hosts=("*",), ports=(PortRange(port, port),))
    await places.bind()
    places.serve()
    numbers = [address.port for address in places.named_addresses.values()]
    services = [
        Service(name="default"),
        Service(name="ssh", port=port),
        Service(name="web", host="a.test"),
    ]
    routes = [places.obtain(LAPTOP, service) for service in services]
    for service, route in zip(services, routes, strict=True):
        places.hold(route, LAPTOP, service.name)
        assert places.key(LAPTOP, service) == route.key
    assert [route.place for route in routes] == [None, PortRange(port, port), "a.test"]
    assert routes[2].address == f"a.test:{numbers[0]},{numbers[1]}"
    assert [is_open(each) for each in (port, *numbers)] == [True] * 3
    for route in routes:
        places.free(route.key)
    assert places.apply(RemoteSettings(outside=ANY)) == [routes[1].key, routes[2].key]
    places.close()
    assert [is_open(each) for each in (port, *numbers)] == [False] * 3


async def test_shared_listeners_are_off_by_default(make_places):
    places = make_places(hosts=("*",))
    await places.bind()
    assert places.named_addresses == {}
    with pytest.raises(Refused, match="start it with --tls, --http or --sockets"):
        places.obtain(LAPTOP, Service(name="web", host="a.test"))


@pytest.mark.parametrize("option", ["tls", "http"])
async def test_an_address_that_is_taken_is_named(make_places, option):
    with socket.create_server((LOOPBACK, 0)) as other:
        taken = HostPort(*other.getsockname())
        places = make_places(**{option: taken})
        with pytest.raises(SettingsError, match=f"{taken}: .*; --{option} PORT selects another"):
            await places.bind()


@pytest.mark.parametrize(
    "service",
    [
        Service(name="dns", port=53, protocol="udp"),
        Service(name="web", protocol="tls"),
        Service(name="default", protocol="udp"),
    ],
)
async def test_a_protocol_that_the_remote_does_not_know_is_refused(make_places, service):
    places = make_places(ports=(PortRange(53, 53),))
    with pytest.raises(Refused) as caught:
        places.obtain(LAPTOP, service)
    assert caught.value.code == Code.NOT_ALLOWED
    assert caught.value.message == (
        f"the remote does not know the protocol {service.protocol!r} of a service without a host "
        "name; it may be older than the origin"
    )


async def test_a_name_has_a_socket_until_the_remote_closes(make_places):
    with tempfile.TemporaryDirectory(prefix="quictunnel-", dir="/tmp") as folder:
        directory = Path(folder) / "s"
        places = make_places(sockets=directory, hosts=("*",))
        await places.bind()
        places.serve()
        web = Service(name="web", host="a.test")
        route = places.obtain(LAPTOP, web)
        places.hold(route, LAPTOP, "web")
        assert route.address == "a.test"
        reader, writer = await asyncio.open_unix_connection(directory / "a.test" / "http")
        assert (await reader.read()).decode() == route.key
        writer.close()
        await writer.wait_closed()
        assert places.has_site("a.test")
        places.close()
        assert not list(directory.iterdir())
