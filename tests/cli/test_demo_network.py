"""The demo's network: it forwards datagrams, can be cut, and then has another address."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from quictunnel.cli.demo_network import SENDERS_MAX, DemoNetwork
from quictunnel.protocol.address import Address
from testkit.clock import settle

HOST = "127.0.0.1"


class Peer(asyncio.DatagramProtocol):
    """One end: it keeps what it receives."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data, address):
        self.received.put_nowait((data, address))


@pytest.fixture
async def open_peer():
    """Return a function that opens a socket, optionally connected to an address."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_peer(to: Address | None = None):
            local = None if to else (HOST, 0)
            remote = (to.host, to.port) if to else None
            loop = asyncio.get_running_loop()
            transport, peer = await loop.create_datagram_endpoint(Peer, local, remote)
            stack.callback(transport.close)
            peer.transport = transport
            return peer

        yield open_peer


@pytest.fixture
async def remote(open_peer):
    return await open_peer()


@pytest.fixture
async def network(remote):
    network = DemoNetwork(HOST)
    network.start(Address.of(remote.transport.get_extra_info("sockname")))
    yield network
    network.close()


async def test_datagrams_arrive_both_ways(network, remote, open_peer):
    origin = await open_peer(network.address)
    origin.transport.sendto(b"up")
    data, sender = await remote.received.get()
    assert data == b"up"
    remote.transport.sendto(b"down", sender)
    assert (await origin.received.get())[0] == b"down"


async def test_each_socket_of_the_origin_has_its_own_address(network, remote, open_peer):
    addresses = set()
    for _ in range(2):
        origin = await open_peer(network.address)
        for _ in range(2):
            origin.transport.sendto(b"up")
            addresses.add((await remote.received.get())[1])
    assert len(addresses) == 2


async def test_nothing_arrives_while_the_network_is_cut(network, remote, open_peer):
    origin = await open_peer(network.address)
    origin.transport.sendto(b"before")
    _, sender = await remote.received.get()
    network.cut(3600)
    assert network.is_cut
    origin.transport.sendto(b"lost")
    remote.transport.sendto(b"lost", sender)
    await settle()
    network.cut(0)
    await settle()
    assert not network.is_cut
    origin.transport.sendto(b"after")
    data, other = await remote.received.get()
    assert data == b"after"
    assert other != sender  # another network, another address
    remote.transport.sendto(b"answer", other)
    assert (await origin.received.get())[0] == b"answer"


async def test_a_second_cut_begins_anew(network):
    network.cut(0.01)
    network.cut(3600)
    await asyncio.sleep(0.05)
    assert network.is_cut


async def test_old_sockets_are_forgotten(network, remote, open_peer):
    first = await open_peer(network.address)
    first.transport.sendto(b"first")
    _, sender = await remote.received.get()
    for _ in range(SENDERS_MAX):
        (await open_peer(network.address)).transport.sendto(b"another")
        await remote.received.get()
    first.transport.sendto(b"again")
    assert (await remote.received.get())[1] != sender


async def test_a_remote_that_has_ended_is_no_error(network, remote, open_peer):
    failures = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, failure: failures.append(failure)
    )
    origin = await open_peer(network.address)
    remote.transport.close()
    await asyncio.sleep(0)
    for _ in range(3):
        origin.transport.sendto(b"up")
        await asyncio.sleep(0.02)  # the kernel reports the closed port
    assert failures == []


async def test_it_has_no_address_before_the_start_and_can_be_closed_twice():
    network = DemoNetwork(HOST)
    with pytest.raises(RuntimeError):
        _ = network.address
    with pytest.raises(RuntimeError):
        network.cut(1)
    network.close()
    network.close()
