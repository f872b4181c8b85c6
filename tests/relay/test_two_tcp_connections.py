"""The relay over real transports on both sides, asyncio's own in place of the stream: no double."""

from __future__ import annotations

import asyncio

import pytest
from relay_doubles import Half, Wire, tcp_pair, until

from quictunnel.protocol.codes import Code
from quictunnel.relay.relay import Ending


class TcpAsStream:
    """A TCP transport with what a stream has beyond one."""

    is_silent = False

    def __init__(self, transport):
        self._transport = transport

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def reset(self, code):
        self._transport.abort()


class StandIn(asyncio.Protocol):
    """Hands a TCP connection to the relay's stream side."""

    def __init__(self, relay):
        self._relay = relay

    def connection_made(self, transport):
        transport.set_protocol(self._relay.stream)
        self._relay.stream.connection_made(TcpAsStream(transport))


@pytest.fixture
async def joined():
    half = Half(Code.CLIENT_RESET)
    await half.stand()
    outer, inner = tcp_pair()
    await half.relay.loop.connect_accepted_socket(lambda: StandIn(half.relay), inner)
    far = Wire(outer)
    yield half, far
    await half.close()
    far.close()


async def test_bytes_and_ends_pass(joined):
    half, far = joined
    sending = asyncio.create_task(half.wire.send(bytes(5_000_000)))
    assert await far.receive_exactly(5_000_000) == bytes(5_000_000)
    await sending
    half.wire.fin()
    assert await far.receive() == b""
    await far.send(b"answer")
    assert await half.wire.receive() == b"answer"
    far.fin()
    assert await half.wire.receive() == b""
    assert (await half.end()).ending is Ending.IN_ORDER


async def test_back_pressure_holds_each_way(joined):
    half, far = joined
    sent = await half.wire.fill()
    assert not half.transport.is_reading()
    back = await far.fill()
    assert await far.receive_exactly(sent) == bytes(sent)
    assert await half.wire.receive_exactly(back) == bytes(back)
    await until(half.transport.is_reading)


async def test_a_loss_that_is_no_words_of_ours_is_one_too(joined):
    half, far = joined
    await far.send(b"x")
    far.reset()
    assert await half.wire.sees_reset()
    end = await half.end()
    assert (end.ending, end.code) == (Ending.LINK_LOST, None)
    assert "reset" in end.reason
