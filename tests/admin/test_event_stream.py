"""Events as Server-Sent Events: where a stream begins, what it leaves out, and when it ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from quictunnel.admin import event_stream as module
from quictunnel.admin.event_stream import EventStreams
from quictunnel.events import ClientAccepted, SignalReceived, TokenExpired
from quictunnel.observe.event_history import EventHistory

ACCEPTED = ClientAccepted("192.0.2.7:1", "web", None)


class Stream:
    """One open stream, and the events in it."""

    def __init__(self, reader, writer) -> None:
        self._reader, self._writer = reader, writer

    async def text(self) -> str:
        """Return the next block: an event or a comment."""
        while True:
            async with asyncio.timeout(20):
                block = await self._reader.readuntil(b"\r\n")
            if block == b"0\r\n":
                raise EOFError
            data = await self._reader.readexactly(int(block, 16) + 2)
            if data.strip():
                return data.decode()

    async def events(self, count: int) -> list[dict]:
        """Return the data of so many events."""
        found = []
        while len(found) < count:
            for block in (await self.text()).strip().split("\n\n"):
                if not block.startswith(":"):
                    number, name, data = block.strip().split("\n")
                    event = json.loads(data.removeprefix("data: "))
                    assert number == f"id: {event['number']}"
                    assert name == f"event: {event['event']}"
                    found.append(event)
        assert len(found) == count
        return found

    def close(self) -> None:
        self._writer.transport.abort()


class StreamPeer:
    """A history, its streams, and a server."""

    def __init__(self) -> None:
        self.history = EventHistory(first=1)
        self.streams = EventStreams(self.history)

    async def open(self, query: str = "", header: str = "") -> Stream:
        reader, writer = await self.peer.connect()
        writer.write(
            f"GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "content-type: text/event-stream" in head
        assert "cache-control: no-store" in head
        stream = Stream(reader, writer)
        assert await stream.text() == ": events\n\n\r\n"
        return stream

    async def wait_for_streams(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.streams._streams) != count:  # noqa: ASYNC110 - other tasks end them
                await asyncio.sleep(0.01)


@pytest.fixture
async def streaming(serve, monkeypatch):
    monkeypatch.setattr(module, "BATCH_INTERVAL", 0.001)
    peer = StreamPeer()
    peer.peer = await serve(peer.streams.operation().route())
    yield peer
    peer.streams.close()


def numbers(events) -> list[int]:
    return [event["number"] for event in events]


async def test_a_stream_begins_with_the_next_event(streaming):
    streaming.history(ACCEPTED)
    stream = await streaming.open()
    streaming.history(SignalReceived("SIGTERM"))
    (event,) = await stream.events(1)
    assert (event["number"], event["event"], event["signal"]) == (2, "signal-received", "SIGTERM")
    stream.close()


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [
        ("?recent=2", "", [9, 10]),
        ("?since=7", "", [8, 9, 10]),
        ("?since=0", "", list(range(1, 11))),
        ("?since=5000", "", list(range(1, 11))),  # a number of a process that has ended
        ("?recent=1", "Last-Event-ID: 8\r\n", [9, 10]),
        ("?recent=1", "Last-Event-ID: nonsense\r\n", [10]),
    ],
)
async def test_a_stream_replays_the_history(streaming, query, header, expected):
    for _ in range(10):
        streaming.history(ACCEPTED)
    stream = await streaming.open(query, header)
    assert numbers(await stream.events(len(expected))) == expected
    streaming.history(ACCEPTED)
    assert numbers(await stream.events(1)) == [11]
    stream.close()


async def test_events_can_be_left_out(streaming):
    stream = await streaming.open("?exclude=client-accepted,client-closed&exclude=token-expired")
    for _ in range(3 * module.BATCH):
        streaming.history(ACCEPTED)
    streaming.history(TokenExpired("laptop"))
    streaming.history(SignalReceived("SIGTERM"))
    assert [event["event"] for event in await stream.events(1)] == ["signal-received"]
    stream.close()


async def test_more_events_than_a_batch_come_in_order(streaming):
    stream = await streaming.open("?since=0")
    for _ in range(2 * module.BATCH + 1):
        streaming.history(ACCEPTED)
    seen = []
    while len(seen) < 2 * module.BATCH + 1:
        seen += numbers(await stream.events(min(module.BATCH, 2 * module.BATCH + 1 - len(seen))))
    assert seen == list(range(1, 2 * module.BATCH + 2))
    stream.close()


async def test_a_comment_keeps_a_quiet_stream_open(streaming, monkeypatch):
    monkeypatch.setattr(module, "COMMENT_INTERVAL", 0.01)
    stream = await streaming.open()
    assert await stream.text() == ": no event\n\n\r\n"
    stream.close()


async def test_the_number_of_streams_is_bounded(streaming, monkeypatch):
    monkeypatch.setattr(module, "MAX_STREAMS", 2)
    streams = [await streaming.open() for _ in range(2)]
    answer = await streaming.peer.request("/api/v1/events")
    assert (answer.status, answer.json) == (503, {"error": "there are 2 streams of events already"})
    streams[0].close()
    await streaming.wait_for_streams(1)
    (await streaming.open()).close()
    streams[1].close()


async def test_a_stream_ends_with_its_client_and_leaves_no_subscription(streaming):
    stream = await streaming.open()
    stream.close()
    await streaming.wait_for_streams(0)
    assert not streaming.history._subscribers


async def test_streams_end_in_order_when_the_interface_closes(streaming):
    stream = await streaming.open()
    streaming.streams.close()
    with pytest.raises(EOFError):
        await stream.text()
    stream.close()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?since=x", "since is a number"),
        ("?recent=1001", "recent is 1000 at most"),
        ("?exclude=nothing", "exclude: there is no event 'nothing'"),
    ],
)
async def test_a_malformed_parameter_is_an_error(streaming, query, sentence):
    answer = await streaming.peer.request(f"/api/v1/events{query}")
    assert answer.status == 400
    assert answer.json["error"].startswith(sentence)
