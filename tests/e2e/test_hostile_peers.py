"""Hostile peers on real links: the installed programs close those links and serve the others."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading

import pytest
from mutator import mutated
from scripted_peers import in_thread, scripted_origin, scripted_remote
from time_limit import time_limit

from quictunnel.errors import LinkLost
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service, Welcome, encode
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import prove
from quictunnel.quic.limits import UNPROVEN_DATAGRAMS
from testkit.connections import UnreadSender
from testkit.crafted_packets import PING, PacketCrafter
from testkit.programs import PROTOCOL_VIOLATION, logged
from testkit.tunnel import LOOPBACK

PREAMBLES, BATCH = 4000, 200
HELLOS, CONCURRENT = 150, 50
MIB = 1024**2

PREAMBLE = encode_v2(
    Preamble(
        client=Address("192.0.2.7", 5555),
        outside=Address("198.51.100.1", 9000),
        service="default",
        client_id="00ff00ff00ff00ff",
    )
)


def clients_are_served(tunnel) -> bool:
    client, server = tunnel.pair()
    client.send(b"question")
    assert server.receive(8) == b"question"
    server.send(b"answer")
    assert client.receive(6) == b"answer"
    tunnel.reset_connections()
    return True


# Origins


async def test_a_mutated_hello_ends_only_its_own_link_and_is_counted(tunnel):
    await in_thread(tunnel.up)
    rng = random.Random(20)

    async def send_hello() -> None:
        async with scripted_origin(tunnel.link_port) as peer:
            control, hello = peer.open(), peer.hello(tunnel.token, name="thief")
            control.stream.write(mutated(encode(hello), rng))
            control.stream.write_eof()
            with contextlib.suppress(ConnectionError):
                await control.reader.read(1)  # until the remote rejects or closes it

    before = tunnel.remote.resident_memory()
    with time_limit():
        for _ in range(HELLOS // CONCURRENT):
            await asyncio.gather(*(send_hello() for _ in range(CONCURRENT)))
            assert await in_thread(clients_are_served, tunnel)
    assert tunnel.remote.resident_memory() - before < 16 * MIB
    await in_thread(tunnel.end)
    counts = re.findall(logged(PROTOCOL_VIOLATION, suppressed=r"(\d+)"), tunnel.remote.stderr)
    assert len(counts) < 10
    assert sum(1 + int(suppressed) for suppressed in counts) >= HELLOS // 3


async def test_an_origin_that_opens_streams_before_its_hello_is_disconnected(shared_tunnel):
    with time_limit():
        async with scripted_origin(shared_tunnel.link_port) as peer:
            for _ in range(10):
                peer.open().stream.write(b"x")
            lost = await peer.ended
    assert isinstance(lost, LinkLost)
    assert lost.code == Code.PROTOCOL_VIOLATION
    assert clients_are_served(shared_tunnel)


async def test_an_origin_that_exceeds_its_stream_limit_is_disconnected(shared_tunnel):
    with time_limit():
        async with scripted_origin(shared_tunnel.link_port) as peer:
            peer.link.engine._remote_max_streams_bidi = 1 << 20  # ignore the remote's limit
            for _ in range(1000):
                peer.open().stream.write(b"x")
            assert isinstance(await peer.ended, LinkLost)
    assert clients_are_served(shared_tunnel)


async def test_an_origin_that_sends_too_much_before_its_proof_is_disconnected(
    shared_tunnel, engines
):
    """Each packet is valid, and asks for no more than an acknowledgement."""
    with time_limit():
        async with scripted_origin(shared_tunnel.link_port) as peer:
            crafter = PacketCrafter(peer.link.engine)
            address = peer.link.engine.peer
            for _ in range(2 * UNPROVEN_DATAGRAMS):
                peer.link._socket._send([(crafter.packet(PING), (*address, b""))])
                await asyncio.sleep(0)
            lost = await peer.ended
    assert isinstance(lost, LinkLost)
    assert lost.code == Code.TOO_MUCH
    assert clients_are_served(shared_tunnel)


async def test_an_origin_that_does_not_read_a_stream_costs_little(tunnel):
    tunnel.start_remote()
    tunnel.wait_for_remote()
    with time_limit():
        async with scripted_origin(tunnel.link_port) as peer:
            control = peer.open()
            control.send(peer.hello(tunnel.token))
            assert isinstance(await control.receive(), Welcome)
            peer.link.trust()
            before = tunnel.remote.resident_memory()
            sender = UnreadSender(tunnel.connect())
            sender.start()
            await peer.accepted.get()  # its StreamReader pauses, because nothing reads from it
            beside = tunnel.connect()
            other = await peer.accepted.get()
            sending = asyncio.create_task(in_thread(beside.send, bytes(5 * MIB)))
            await other.reader.readexactly(5 * MIB)
            await sending
            assert tunnel.remote.resident_memory() - before < 24 * MIB
        assert await in_thread(beside.is_reset)
        sender.end()


# Remotes


@pytest.fixture
def closing_server(tunnel):
    """An origin server that closes each connection after the first bytes."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listening socket is shut down at the end
            while True:
                with tunnel.server.accept()[0] as client:
                    client.recv(1 << 16)

    tunnel.server.settimeout(None)
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    yield
    tunnel.server.shutdown(2)
    serving.join()


async def test_a_mutated_preamble_ends_only_its_own_stream(tunnel, tmp_path, closing_server):
    rng = random.Random(30)

    async def client(remote, preamble: bytes) -> bytes:
        scripted = remote.open()
        scripted.stream.write(preamble + b"hello")
        scripted.stream.write_eof()
        with contextlib.suppress(ConnectionError):
            return await scripted.reader.read()
        return b"reset"

    with time_limit():
        async with scripted_remote(tmp_path) as (port, peers):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}", "--log-level", "error")
            remote = await peers.get()
            control = await remote.accepted.get()
            await control.receive()
            remote.link.trust()
            proof = prove(tunnel.token.secret, "remote", remote.link.exporter)
            service = Service(name="default", address="192.0.2.1:9000")
            control.send(Welcome(proof=proof, instance="x", services=[service], hold=900.0))
            await in_thread(tunnel.wait_for_origin)
            endings = set()
            for number in range(PREAMBLES // BATCH):
                if number == 2:  # one-time allocations are over
                    before = origin.resident_memory()
                clients = (client(remote, mutated(PREAMBLE, rng)) for _ in range(BATCH))
                endings |= set(await asyncio.gather(*clients))
                assert not remote.ended.done()
            assert endings == {b"", b"reset"}
            assert origin.resident_memory() - before < 16 * MIB
            assert await client(remote, PREAMBLE) == b""
            await remote.close()
    origin.end()
