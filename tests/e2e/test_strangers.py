"""Strangers on a real link to a real remote: it closes theirs and goes on serving others."""

from __future__ import annotations

import asyncio
import random

import pytest
from patience import patience

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
from quictunnel.quic import ClientTls, Link, LinkProtocol, LinkSettings, dial
from quictunnel.remote import session as remote_session
from quictunnel.remote.server import Remote

LOOPBACK = "127.0.0.1"
TOKEN = Token("laptop", "s" * 32)
TLS = ClientTls(server_name="localhost", verify="none")


class Stranger(LinkProtocol, asyncio.Protocol):
    """An origin's end of a link and of its control stream, in the test's hands."""

    link: Link
    stream: asyncio.Transport

    def __init__(self) -> None:
        self.answers: asyncio.Queue = asyncio.Queue()
        self.ended = asyncio.get_running_loop().create_future()
        self.client_came = asyncio.Event()
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

    def say(self, *messages) -> None:
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
        self.client_came.set()
        return asyncio.Protocol()

    def connection_made(self, transport):
        pass

    def data_received(self, data):
        for message in self._decoder.feed(data):
            self.answers.put_nowait(message)

    def eof_received(self):
        return True


class Door:
    """A remote, and strangers before it."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    async def stranger(self) -> Stranger:
        stranger = Stranger()
        await dial(
            LOOPBACK,
            self.remote.link_address.port,
            protocol=stranger,
            client_tls=TLS,
            settings=LinkSettings(engine="aioquic"),
            within=10,
        )
        return stranger

    async def accepted(self) -> Stranger:
        stranger = await self.stranger()
        stranger.say(stranger.hello())
        assert isinstance(await stranger.answers.get(), Welcome)
        return stranger


@pytest.fixture
async def door(tmp_path, engines):
    settings = RemoteSettings(
        listen=HostPort(LOOPBACK, 0),
        outside=HostPort(LOOPBACK, 0),
        state_dir=tmp_path,
        grace=20.0,
        engine=engines[1],
    )
    certificates = CertificateFiles(*load_or_make_certificate(tmp_path))
    remote = Remote(settings, (TOKEN,), certificates)
    await remote.start()
    with patience():
        yield Door(remote)
    remote.abort()
    await remote.wait_closed()


async def test_a_good_one_is_welcome(door):
    stranger = await door.accepted()
    stranger.link.close()
    assert await stranger.ended is None


async def test_garbage_on_the_control_stream(door):
    stranger = await door.stranger()
    stranger.stream.write(b"\xff" * 100)
    assert await stranger.closed_with() == Code.PROTOCOL_VIOLATION
    (await door.accepted()).link.close()


async def test_a_message_out_of_order(door):
    for message in (Goodbye(reason="", grace=0), Services(services=[])):
        stranger = await door.stranger()
        stranger.say(message)
        assert await stranger.closed_with() == Code.PROTOCOL_VIOLATION


async def test_a_second_hello(door):
    stranger = await door.stranger()
    stranger.say(stranger.hello(), stranger.hello())
    assert await stranger.closed_with() == Code.PROTOCOL_VIOLATION


async def test_a_second_control_stream(door):
    for end in (door.stranger, door.accepted):
        stranger = await end()
        stranger.stream.write(b"\0")  # or the first one would not be seen at all
        stranger.link.open_stream(asyncio.Protocol()).write(b"\0\0\0\2{}")
        assert await stranger.closed_with() == Code.PROTOCOL_VIOLATION


async def test_a_control_stream_that_is_reset_or_ended(door):
    for end in ("abort", "write_eof"):
        stranger = await door.accepted()
        getattr(stranger.stream, end)()
        assert await stranger.closed_with() == Code.PROTOCOL_VIOLATION


async def test_one_that_says_nothing(door, monkeypatch):
    monkeypatch.setattr(remote_session, "HELLO_TIMEOUT", 0.05)
    stranger = await door.stranger()
    assert await stranger.closed_with() == Code.HELLO_TIMEOUT


async def test_one_that_is_refused_and_stays(door, monkeypatch):
    monkeypatch.setattr(remote_session, "PROOF_FAILURE_DELAY", 0.05)
    monkeypatch.setattr(remote_session, "CLOSE_TIMEOUT", 0.05)
    stranger = await door.stranger()
    stranger.say(stranger.hello(proof=""))
    assert (await stranger.answers.get()).code == Code.BAD_TOKEN
    assert await stranger.closed_with() == Code.BAD_TOKEN


async def test_one_that_comes_while_the_remote_drains(door):
    present = await door.accepted()
    _, writer = await asyncio.open_connection(LOOPBACK, door.remote.outside_address.port)
    await present.client_came.wait()
    door.remote.drain()
    late = await door.stranger()
    assert await late.closed_with() == Code.GOODBYE
    assert not present.ended.done()
    writer.transport.abort()


async def test_a_hundred_of_all_kinds_harm_nobody(door):
    rng = random.Random(11)
    for _ in range(100):
        stranger = await door.stranger()
        hello = bytearray(encode(stranger.hello(name="other", services=[])))
        hello[rng.randrange(len(hello))] ^= 1 << rng.randrange(8)
        stranger.stream.write(bytes(hello))
        if rng.random() < 0.5:
            stranger.stream.abort()
        stranger.link.close(Code.NO_ERROR)
        await stranger.ended
    (await door.accepted()).link.close()
