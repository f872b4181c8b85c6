"""A stream keeps the promises of an `asyncio.Transport`: writing, reading, classes over it."""

from __future__ import annotations

import asyncio

import pytest
from link_pair import LinkPair, Network, Recorder, over_links, seconds, settle, until
from pair import ROUGH, Engines

from quictunnel.errors import StreamReset
from quictunnel.quic.flow_control import AHEAD_MIN, SHARE_MIN
from quictunnel.quic.stream import HIGH_WATER, READ_SIZE

# Writing


@over_links
async def test_what_is_written_arrives(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    ours.stream.write(b"to the acceptor")
    theirs.stream.write(bytearray(b"and "))
    theirs.stream.write(memoryview(b"back"))
    await seconds(1)
    assert (theirs.data, ours.data) == (b"to the acceptor", b"and back")


@over_links
async def test_writes_of_one_turn_are_sent_together(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    pair.client_socket.batches.clear()
    for _ in range(100):
        ours.stream.write(b"0123456789")
    await settle()
    assert pair.client_socket.batches == [1]
    await until(lambda: len(theirs.data) == 1000)
    assert theirs.pieces == [1000]


@over_links
async def test_the_protocol_is_paused_above_the_high_water_and_resumed_at_the_low(
    engines: Engines,
) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams(theirs=Recorder(paused=True))
    ours.stream.write(bytes(pair.stream_window - 1))
    await seconds(2)
    assert ours.stream.get_write_buffer_size() == 0
    ours.calls.clear()
    low, high = ours.stream.get_write_buffer_limits()
    assert SHARE_MIN <= 4 * low == high <= HIGH_WATER
    ours.stream.write(bytes(high))
    assert ours.calls == []
    ours.stream.write(b"!")
    assert ours.calls == ["pause_writing"]
    ours.stream.write(b"!")
    assert ours.calls == ["pause_writing"], "told once"
    assert ours.stream.get_write_buffer_size() == high + 2
    await seconds(5)
    assert ours.calls == ["pause_writing"]
    pair.server_session.accepted[-1].stream.resume_reading()
    await seconds(1)
    assert ours.calls == ["pause_writing", "resume_writing"]


@over_links
async def test_the_water_marks_are_within_their_bounds(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams()
    low, high = ours.stream.get_write_buffer_limits()
    assert AHEAD_MIN <= high == 4 * low <= HIGH_WATER


@over_links
async def test_writing_after_the_end_is_an_error(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams()
    assert ours.stream.can_write_eof()
    ours.stream.write_eof()
    ours.stream.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        ours.stream.write(b"!")


# Reading


@over_links
async def test_reading_paused_in_connection_made_holds_the_first_byte(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    _, theirs = await pair.streams(theirs=Recorder(paused=True))
    assert not theirs.stream.is_reading()
    assert theirs.data == b""
    theirs.stream.resume_reading()
    assert theirs.stream.is_reading()
    assert theirs.data == b"", "never from within resume_reading"
    await settle()
    assert theirs.data == b"!"


@over_links
async def test_data_comes_in_pieces_of_bounded_size(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    theirs.stream.pause_reading()
    ours.stream.write(bytes(pair.stream_window - 1))
    await seconds(2)
    theirs.stream.resume_reading()
    await until(lambda: sum(theirs.pieces) == pair.stream_window - 1)
    assert max(theirs.pieces) < READ_SIZE + 2000


@over_links
async def test_pausing_within_data_received_holds_the_next_piece(engines: Engines) -> None:
    class OnePiece(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.stream.pause_reading()

    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams(theirs=OnePiece(paused=True))
    ours.stream.write(bytes(pair.stream_window - 1))
    await seconds(2)
    theirs.stream.resume_reading()
    await seconds(1)
    assert len(theirs.pieces) == 1


@over_links
async def test_a_paused_stream_holds_nobody_else(engines: Engines) -> None:
    pair = await LinkPair.made(Network(**ROUGH), engines=engines)
    ours, theirs = await pair.streams(theirs=Recorder(paused=True))
    ours.stream.write(bytes(2 * pair.stream_window))
    await until(lambda: ours.stream.get_write_buffer_size() == pair.stream_window + 1)
    other, their_other = await pair.streams(theirs=Recorder())
    other.stream.write(bytes(2**20))
    await until(lambda: len(their_other.data) == 2**20)
    assert theirs.data == b""


# asyncio's own classes over it


@over_links
async def test_a_reader_and_a_writer_can_be_laid_over_it(engines: Engines) -> None:
    loop = asyncio.get_running_loop()
    pair = await LinkPair.made(Network(**ROUGH), engines=engines)
    handled: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
        handled.append(asyncio.current_task())

    pair.server_session.make = lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    stream = pair.client.open_stream(protocol)
    writer = asyncio.StreamWriter(stream, protocol, reader, loop)
    data = bytes(range(256)) * 4096

    async def pour() -> None:
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
            await writer.drain()
        writer.write_eof()

    pouring = asyncio.create_task(pour())
    assert await reader.read() == data
    await pouring
    writer.close()
    await writer.wait_closed()
    await until(lambda: bool(handled) and pair.server.stream_count == 0)


@over_links
async def test_a_reset_raises_in_a_reader(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    reader = asyncio.StreamReader()
    stream = pair.client.open_stream(asyncio.StreamReaderProtocol(reader))
    stream.write(b"!")
    await until(lambda: bool(pair.server_session.accepted))
    pair.server_session.accepted[0].stream.reset(0x11)
    with pytest.raises(StreamReset):
        await reader.read()


# The link under it


@over_links
async def test_facts_of_a_stream(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    assert ours.stream.get_extra_info("link") is pair.client
    assert ours.stream.get_extra_info("peername") == pair.client.peer
    assert ours.stream.get_extra_info("stream_id") == theirs.stream.get_extra_info("stream_id")
    assert ours.stream.get_extra_info("no such") is None
    assert ours.stream.get_protocol() is ours
