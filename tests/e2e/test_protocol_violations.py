"""Origins that violate the protocol on a real link: the remote closes it and serves the others."""

from __future__ import annotations

import asyncio
import random

import pytest
from time_limit import time_limit

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import LinkLost
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import (
    Goodbye,
    Hello,
    MessageDecoder,
    Service,
    Services,
    Welcome,
    encode,
)
from quictunnel.protocol.proof import prove
from quictunnel.quic.dialer import dial
from quictunnel.quic.link import Link, LinkProtocol
from quictunnel.quic.settings import ClientTls, LinkSettings
from quictunnel.remote import session as remote_session
from quictunnel.remote.server import Remote
from testkit.tunnel import LOOPBACK

TOKEN = Token("laptop", "s" * 32)
TLS = ClientTls(server_name="localhost", verify="none")


class RawOrigin(LinkProtocol, asyncio.Protocol):
    """An origin's end of a link and its control stream, controlled by a test."""

    link: Link
    stream: asyncio.Transport

    def __init__(self) -> None:
        self.answers: asyncio.Queue = asyncio.Queue()
        self.ended = asyncio.get_running_loop().create_future()
        self.client_accepted = asyncio.Event()
        self._decoder = MessageDecoder()

    def hello(self, **fields) -> Hello:
        return Hello(
            **{
                "version": VERSION,
                "agent": "test/1",
                "name": "box",
                "token_id": TOKEN.id,
                "proof": prove(TOKEN.secret, "origin", self.link.exporter),
                "services": [Service(name="default")],
                **fields,
            }
        )

    def send(self, *messages) -> None:
        self.stream.write(b"".join(encode(message) for message in messages))

    async def closed_with(self) -> int | None:
        lost = await self.ended
        assert isinstance(lost, LinkLost)
        return lost.code

    def link_made(self, link):
        self.link = link
        self.stream = link.open_stream(self)

    def link_lost(self, exc):
        self.ended.set_result(exc)

    def stream_accepted(self, stream):
        self.client_accepted.set()
        return asyncio.Protocol()

    def connection_made(self, transport):
        pass

    def data_received(self, data):
        for message in self._decoder.feed(data):
            self.answers.put_nowait(message)

    def eof_received(self):
        return True


class RemoteUnderTest:
    """A remote, and origins that dial it."""

    def __init__(self, remote: Remote) -> None:
        self.server = remote

    async def dialled(self) -> RawOrigin:
        origin = RawOrigin()
        await dial(
            LOOPBACK,
            self.server.link_address.port,
            protocol=origin,
            client_tls=TLS,
            settings=LinkSettings(engine="aioquic"),
            within=10,
        )
        return origin

    async def welcomed(self) -> RawOrigin:
        origin = await self.dialled()
        origin.send(origin.hello())
        assert isinstance(await origin.answers.get(), Welcome)
        return origin


@pytest.fixture
async def remote(tmp_path, engines):
    settings = RemoteSettings(
        listen=HostPort(LOOPBACK, 0),
        outside=HostPort(LOOPBACK, 0),
        state_dir=tmp_path,
        grace=20.0,
        engine=engines[1],
    )
    certificates = CertificateFiles(*load_or_make_certificate(tmp_path))
    server = Remote(settings, (TOKEN,), certificates)
    await server.start()
    with time_limit():
        yield RemoteUnderTest(server)
    server.abort()
    await server.wait_closed()


async def test_a_valid_hello_is_welcomed(remote):
    origin = await remote.welcomed()
    origin.link.close()
    assert await origin.ended is None


async def test_garbage_on_the_control_stream(remote):
    origin = await remote.dialled()
    origin.stream.write(b"\xff" * 100)
    assert await origin.closed_with() == Code.PROTOCOL_VIOLATION
    (await remote.welcomed()).link.close()


async def test_a_message_out_of_order(remote):
    for message in (Goodbye(reason="", grace=0), Services(services=[])):
        origin = await remote.dialled()
        origin.send(message)
        assert await origin.closed_with() == Code.PROTOCOL_VIOLATION


async def test_a_second_hello(remote):
    origin = await remote.dialled()
    origin.send(origin.hello(), origin.hello())
    assert await origin.closed_with() == Code.PROTOCOL_VIOLATION


async def test_a_second_control_stream(remote):
    for end in (remote.dialled, remote.welcomed):
        origin = await end()
        origin.stream.write(b"\0")  # the stream does not exist at the remote before its first byte
        origin.link.open_stream(asyncio.Protocol()).write(b"\0\0\0\2{}")
        assert await origin.closed_with() == Code.PROTOCOL_VIOLATION


async def test_a_control_stream_that_is_reset_or_ended(remote):
    for end in ("abort", "write_eof"):
        origin = await remote.welcomed()
        getattr(origin.stream, end)()
        assert await origin.closed_with() == Code.PROTOCOL_VIOLATION


async def test_no_hello(remote, monkeypatch):
    monkeypatch.setattr(remote_session, "HELLO_TIMEOUT", 0.05)
    origin = await remote.dialled()
    assert await origin.closed_with() == Code.HELLO_TIMEOUT


async def test_a_rejected_origin_that_stays_is_disconnected(remote, monkeypatch):
    monkeypatch.setattr(remote_session, "PROOF_FAILURE_DELAY", 0.05)
    monkeypatch.setattr(remote_session, "CLOSE_TIMEOUT", 0.05)
    origin = await remote.dialled()
    origin.send(origin.hello(proof=""))
    assert (await origin.answers.get()).code == Code.BAD_TOKEN
    assert await origin.closed_with() == Code.BAD_TOKEN


async def test_an_origin_that_connects_while_the_remote_drains(remote):
    present = await remote.welcomed()
    _, writer = await asyncio.open_connection(LOOPBACK, remote.server.outside_address.port)
    await present.client_accepted.wait()
    remote.server.drain()
    late = await remote.dialled()
    assert await late.closed_with() == Code.GOODBYE
    assert not present.ended.done()
    writer.transport.abort()


async def test_a_hundred_broken_origins_harm_no_other(remote):
    rng = random.Random(11)
    for _ in range(100):
        origin = await remote.dialled()
        hello = bytearray(encode(origin.hello(name="other", services=[])))
        hello[rng.randrange(len(hello))] ^= 1 << rng.randrange(8)
        origin.stream.write(bytes(hello))
        if rng.random() < 0.5:
            origin.stream.abort()
        origin.link.close(Code.NO_ERROR)
        await origin.ended
    (await remote.welcomed()).link.close()
