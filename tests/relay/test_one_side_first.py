"""A side that stands alone: the client before a stream, the stream before the origin server."""

from __future__ import annotations

import asyncio

import pytest
from relay_doubles import HIGH, MemoryLink, until
from transport_owner import turns

from quictunnel.protocol.codes import Code
from quictunnel.relay.relay import Ending

PIECE = 256 * 1024
"""Bytes in a piece that is larger than a small TCP connection can hold."""


class Recorder(asyncio.Protocol):
    """The far end of the stream, in the place of a relay."""

    def __init__(self):
        self.data, self.ended, self.lost = b"", False, []

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        self.ended = True
        return True

    def connection_lost(self, exc):
        self.lost.append(exc)


@pytest.fixture
async def pair():
    """The relay's end of a stream, not yet attached, and the far end with its recorder."""
    near, far = MemoryLink().stream_pair()
    recorder = Recorder()
    far.attach(recorder)
    return near, far, recorder


async def test_a_stream_is_not_read_before_tcp_stands(half, pair):
    near, far, _ = pair
    near.attach(half.relay.stream)
    while far.get_write_buffer_size() <= HIGH:
        far.write(bytes(1000))
    far.write_eof()
    held = far.get_write_buffer_size()
    await asyncio.sleep(0)
    assert not near.is_reading()
    assert half.relay.stream.received == 0
    await half.stand()
    assert await half.wire.receive_to_fin() == bytes(held)


async def test_what_was_read_before_the_hand_over_arrives_first(half, pair):
    """The origin: the preamble's reader had a few bytes of the client's in its hands."""
    near, far, _ = pair
    half.relay.tcp.write(b"PROXY header, ")
    near.attach(half.relay.stream)
    half.relay.stream.data_received(b"bytes behind the preamble, ")
    far.write(b"bytes from the stream")
    far.write_eof()
    await half.stand()
    expected = b"PROXY header, bytes behind the preamble, bytes from the stream"
    assert await half.wire.receive_to_fin() == expected
    assert half.relay.stream.received == len(b"bytes behind the preamble, bytes from the stream")


async def test_bytes_that_fill_tcp_as_it_comes_hold_the_stream_back(half, pair):
    """The origin server accepts but does not read, and the kept bytes fill its socket."""
    near, far, _ = pair
    near.attach(half.relay.stream)
    half.relay.stream.data_received(bytes(PIECE))
    while far.get_write_buffer_size() <= HIGH:
        far.write(b"later" * 200)
    more = far.get_write_buffer_size()
    await half.stand()
    await turns()
    assert half.relay.tcp.write_paused
    assert not near.is_reading()
    assert half.relay.stream.received == PIECE
    received = await half.wire.receive_exactly(PIECE + more)
    assert received == bytes(PIECE) + b"later" * (more // 5)


async def test_bytes_that_fill_the_stream_before_tcp_stands_hold_tcp_back(half, pair):
    """The far end does not read the stream, because the origin server is not reached yet."""
    near, far, recorder = pair
    far.pause_reading()
    half.relay.stream.write(bytes(HIGH + 1))
    near.attach(half.relay.stream)
    await half.stand()
    await half.wire.send(b"GET / HTTP/1.1\r\n")
    await turns()
    assert half.relay.stream.write_paused
    assert not half.transport.is_reading()
    assert half.relay.tcp.received == 0
    far.resume_reading()
    await until(lambda: recorder.data.endswith(b"\0GET / HTTP/1.1\r\n"))


async def test_fin_before_tcp_stands_is_kept(half, pair):
    near, _, recorder = pair
    near.attach(half.relay.stream)
    half.relay.stream.data_received(b"all there is")
    half.relay.stream.eof_received()
    await half.stand()
    assert await half.wire.receive_to_fin() == b"all there is"
    await half.wire.send(b"answer")
    await until(lambda: recorder.data == b"answer")


async def test_tcp_is_not_read_before_the_stream_stands(half, pair):
    near, _, recorder = pair
    await half.stand()
    await half.wire.send(b"GET / HTTP/1.1\r\n")
    half.wire.fin()
    await asyncio.sleep(0)
    assert not half.transport.is_reading()
    assert half.relay.tcp.received == 0
    half.relay.stream.write(b"preamble ")
    near.attach(half.relay.stream)
    await until(lambda: recorder.ended)
    assert recorder.data == b"preamble GET / HTTP/1.1\r\n"


async def test_a_reset_while_the_stream_is_not_there_ends_the_relay(half):
    """A client that waits for an origin, and gives up: its reading is paused all the while."""
    await half.stand()
    await half.wire.send(b"GET / HTTP/1.1\r\n")
    half.wire.reset()
    assert (await half.end()).ending is Ending.TCP_LOST


async def test_a_stream_that_comes_too_late_is_reset(half, pair):
    near, _, recorder = pair
    await half.stand()
    half.wire.reset()
    await half.end()
    near.attach(half.relay.stream)
    await until(lambda: recorder.lost)
    assert near.reset_code == Code.ORIGIN_RESET
    assert [lost.code for lost in recorder.lost] == [Code.ORIGIN_RESET]


async def test_tcp_that_comes_too_late_is_reset(half, pair):
    near, far, _ = pair
    near.attach(half.relay.stream)
    far.reset(Code.CLIENT_RESET)
    end = await half.end()
    assert (end.ending, end.code) == (Ending.STREAM_RESET, Code.CLIENT_RESET)
    await half.stand()
    assert await half.wire.sees_reset()


@pytest.mark.parametrize("code", [Code.ORIGIN_REFUSED, Code.ORIGIN_UNREACHABLE])
async def test_an_origin_server_out_of_reach_resets_the_client(tunnel, half, pair, code):
    near, _, recorder = pair
    near.attach(half.relay.stream)
    half.relay.abort(code)
    assert (await half.end()).reason == code.word
    await until(lambda: recorder.lost)
    assert recorder.lost[0].code == code
    tunnel.far.reset(code)
    assert await tunnel.client.sees_reset()
    assert (await tunnel.remote.end()).reason == code.word


async def test_a_client_for_whom_no_origin_comes_is_reset(half):
    await half.stand()
    half.relay.abort(Code.ORIGIN_UNREACHABLE)
    assert await half.wire.sees_reset()
    assert (await half.end()).ending is Ending.CUT


async def test_a_relay_with_no_side_at_all_can_be_cut(half):
    half.relay.abort(Code.CUT_SHORT)
    assert half.relay.is_over
    half.relay.abort(Code.INTERNAL)
    assert (await half.end()).code == Code.CUT_SHORT


async def test_a_lost_link_while_tcp_is_not_there_ends_the_relay(half, pair):
    near, _, _ = pair
    near.attach(half.relay.stream)
    near.link.lose()
    assert (await half.end()).ending is Ending.LINK_LOST
