"""Peers on real links that mean harm: the installed programs turn them out and serve the others."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading

import pytest
from impostors import a_remote, an_origin, in_thread
from mutator import mutated
from patience import patience
from tunnels import LOOPBACK, READY_ORIGIN, Pouring

from quictunnel.errors import LinkLost
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service, Welcome, encode
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import prove

PREAMBLES, AT_ONCE = 4000, 200
HELLOS, STRANGERS = 150, 50
MIB = 1024**2

PREAMBLE = encode_v2(
    Preamble(
        client=Address("192.0.2.7", 5555),
        outside=Address("198.51.100.1", 9000),
        service="default",
        client_id="00ff00ff00ff00ff",
    )
)


def clients_are_well(tunnel) -> bool:
    client, server = tunnel.pair()
    client.say(b"question")
    assert server.hear(8) == b"question"
    server.say(b"answer")
    assert client.hear(6) == b"answer"
    tunnel.part()
    return True


# Origins


async def test_mutated_hellos_are_the_end_of_their_own_link_only(standing):
    rng = random.Random(20)

    async def stranger() -> None:
        async with an_origin(standing.link_port) as actor:
            control, hello = actor.open(), actor.hello(standing.token, name="thief")
            control.stream.write(mutated(encode(hello), rng))
            control.stream.write_eof()
            with contextlib.suppress(ConnectionError):
                await control.reader.read(1)  # refused, if it was not closed at once

    before = standing.remote.memory
    with patience():
        for _ in range(HELLOS // STRANGERS):
            await asyncio.gather(*(stranger() for _ in range(STRANGERS)))
            assert await in_thread(clients_are_well, standing)
    assert standing.remote.memory - before < 16 * MIB
    standing.remote.logged("protocol violation", times=HELLOS // 3)


async def test_an_origin_that_opens_streams_before_its_hello(standing):
    with patience():
        async with an_origin(standing.link_port) as actor:
            for _ in range(10):
                actor.open().stream.write(b"x")
            lost = await actor.ended
    assert isinstance(lost, LinkLost)
    assert lost.code == Code.PROTOCOL_VIOLATION
    assert clients_are_well(standing)


async def test_an_origin_that_opens_more_streams_than_it_may(standing):
    with patience():
        async with an_origin(standing.link_port) as actor:
            actor.link.engine._remote_max_streams_bidi = 1 << 20  # whatever the remote says
            for _ in range(1000):
                actor.open().stream.write(b"x")
            assert isinstance(await actor.ended, LinkLost)
    assert clients_are_well(standing)


async def test_an_origin_that_reads_nothing_of_a_client_costs_little(tunnel):
    tunnel.start_remote()
    tunnel.remote_is_ready()
    with patience():
        async with an_origin(tunnel.link_port) as actor:
            control = actor.open()
            control.say(actor.hello(tunnel.token))
            assert isinstance(await control.hear(), Welcome)
            actor.link.trust()
            before = tunnel.remote.memory
            pouring = Pouring(tunnel.client())
            pouring.start()
            await actor.came.get()  # its reader stops by itself, and nobody reads of it
            beside = tunnel.client()
            other = await actor.came.get()
            saying = asyncio.create_task(in_thread(beside.say, bytes(5 * MIB)))
            await other.reader.readexactly(5 * MIB)
            await saying
            assert tunnel.remote.memory - before < 24 * MIB
        assert await in_thread(beside.is_reset)
        pouring.end()


# Remotes


@pytest.fixture
def quick_server(tunnel):
    """An origin server that ends every conversation as soon as it is asked anything."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # its socket is closed at the end
            while True:
                with tunnel.server.accept()[0] as client:
                    client.recv(1 << 16)

    tunnel.server.settimeout(None)
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    yield
    tunnel.server.shutdown(2)
    serving.join()


async def test_mutated_preambles_are_the_end_of_their_own_stream_only(
    tunnel, tmp_path, quick_server
):
    rng = random.Random(30)

    async def client(remote, preamble: bytes) -> bytes:
        conversation = remote.open()
        conversation.stream.write(preamble + b"hello")
        conversation.stream.write_eof()
        with contextlib.suppress(ConnectionError):
            return await conversation.reader.read()
        return b"reset"

    with patience():
        async with a_remote(tmp_path) as (port, actors):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}", "--log-level", "error")
            remote = await actors.get()
            control = await remote.came.get()
            await control.hear()
            remote.link.trust()
            proof = prove(tunnel.token.secret, "remote", remote.link.exporter)
            service = Service(name="default", address="192.0.2.1:9000")
            control.say(Welcome(proof=proof, instance="x", services=[service], hold=900.0))
            await in_thread(origin.wait_for, READY_ORIGIN)
            endings = set()
            for number in range(PREAMBLES // AT_ONCE):
                if number == 2:  # what is allocated once for all is there by now
                    before = origin.memory
                some = (client(remote, mutated(PREAMBLE, rng)) for _ in range(AT_ONCE))
                endings |= set(await asyncio.gather(*some))
                assert not remote.ended.done()
            assert endings == {b"", b"reset"}
            assert origin.memory - before < 16 * MIB
            assert await client(remote, PREAMBLE) == b""
            await remote.leave()
    origin.end()
