"""A listener that accepts only some networks: nothing from elsewhere is read or answered."""

from __future__ import annotations

import random
import socket
from ipaddress import ip_network

import pytest
from endpoints import Trusting, closed, dialled, echo, listening
from flooded_listener import Flooded
from link_pair import over_links, seconds, until
from pair import Engines

from quictunnel.config.networks import NO_NETWORKS, NetworkSet
from quictunnel.errors import LinkFailed
from quictunnel.events import DropKind, PeerDropped
from quictunnel.protocol.codes import Code
from quictunnel.quic.network_filter import NetworkFilter
from testkit.clock import settle
from testkit.crafted_packets import unknown_link, unknown_version

DATA = random.Random(1).randbytes(3_000_000)


def networks(*texts: str) -> NetworkSet:
    return NetworkSet(map(ip_network, texts))


@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%2", True),
    ],
)
def test_hosts_are_found_in_networks_however_a_socket_writes_them(host, is_accepted):
    accepted = NetworkFilter(networks("192.0.2.0/24", "2001:db8::/32", "fe80::/10"))
    assert accepted.accepts(host) is is_accepted


async def test_an_accepted_network_is_served_as_before(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        listener.accept_only(networks("127.0.0.0/8"))
        link = await dialled(listener.address.port, engine=alike[0])
        assert await echo(link, DATA) == DATA
        await closed(link)


async def test_an_ipv4_network_is_found_at_a_socket_for_both_families(alike: Engines) -> None:
    async with listening("::", engine=alike[1]) as listener:
        listener.accept_only(networks("127.0.0.1"))
        link = await dialled(listener.address.port, engine=alike[0])
        assert await echo(link, DATA) == DATA
        with pytest.raises(LinkFailed, match="no answer"):
            await dialled(listener.address.port, "::1", within=0.2, engine=alike[0])
        await closed(link)


async def test_a_list_that_has_become_empty_accepts_all(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        listener.accept_only(networks("192.0.2.0/24"))
        with pytest.raises(LinkFailed, match="no answer"):
            await dialled(listener.address.port, within=0.2, engine=alike[0])
        listener.accept_only(NO_NETWORKS)
        link = await dialled(listener.address.port, engine=alike[0])
        assert await echo(link, b"hello") == b"hello"
        await closed(link)


async def test_links_of_a_network_that_is_removed_are_closed(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        protocol = Trusting()
        link = await dialled(listener.address.port, protocol=protocol, engine=alike[0])
        await echo(link, b"hello")
        listener.accept_only(networks("192.0.2.0/24"))
        lost = await protocol.lost
        assert lost.code == Code.GOODBYE
        assert "this network" in lost.reason


@pytest.mark.parametrize("packet", [unknown_version, unknown_link])
async def test_other_networks_get_no_answer_of_any_kind(packet, alike: Engines) -> None:
    async with listening("0.0.0.0", engine=alike[1]) as listener:
        listener.accept_only(networks("127.0.0.1"))
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as accepted,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            for sock, host in ((other, "127.0.0.2"), (accepted, "127.0.0.1")):
                sock.bind((host, 0))
                sock.setblocking(False)
                sock.sendto(packet(), ("127.0.0.1", listener.address.port))
            while True:
                await settle()
                try:
                    assert accepted.recv(2000)
                    break
                except BlockingIOError:
                    pass
            with pytest.raises(BlockingIOError):
                other.recv(2000)


@over_links
async def test_a_link_is_silent_in_another_network_and_returns_with_its_peer(
    alike: Engines,
) -> None:
    flooded = Flooded(alike[1])
    flooded.listener.accept_only(networks("192.0.2.0/24"))
    caller = flooded.honest("192.0.2.7", 4711)
    await until(lambda: 4711 in flooded.proven_at)
    (link,) = flooded.listener._links.values()
    await seconds(2)
    caller.move("198.51.100.7")
    await seconds(20)
    assert str(link.peer) == "192.0.2.7:4711"
    assert link.is_silent
    assert not link.is_closed
    sentence = "its network is not one of --origins-from"
    assert PeerDropped("198.51.100.7", sentence, DropKind.NETWORK) in flooded.events
    caller.move("192.0.2.8")
    await until(lambda: not link.is_silent)
    assert str(link.peer) == "192.0.2.8:4711"
