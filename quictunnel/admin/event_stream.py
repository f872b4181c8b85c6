"""Events as Server-Sent Events (HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from quictunnel.admin.operations import Operation, Parameter, error_response, number_of
from quictunnel.admin.paths import API
from quictunnel.events import Event
from quictunnel.observe.event_history import (
    CLIENT_EVENTS,
    OTHER_EVENTS,
    EventHistory,
    NumberedEvent,
)
from quictunnel.observe.event_json import EVENT_NAMES, event_members

MAX_STREAMS = 16
"""Streams at a time."""

COMMENT_INTERVAL = 15.0
"""Seconds without an event after which a comment keeps the connection open."""

BATCH = 50
"""Events that are written at once."""

BATCH_INTERVAL = 0.1
"""Seconds between two batches. So a stream has at most 500 events a second."""

MEDIA_TYPE = "text/event-stream"

SINCE = Parameter(
    "since",
    "Begin after the event with this number. The header `Last-Event-ID` has precedence.",
    "integer",
)
RECENT = Parameter(
    "recent",
    "How many of the last events to begin with. By default, a stream begins with the next event.",
    "integer",
    most=CLIENT_EVENTS + OTHER_EVENTS,
)
EXCLUDE = Parameter(
    "exclude", "Names of events to leave out, separated by commas, such as `client-accepted`."
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID", "The number of the last event that the client has seen.", place="header"
)

_TYPES = {name: kind for kind, name in EVENT_NAMES.items()}


class EventStreams:
    """All streams of events. Each reads the history from the number that it has reached.

    No stream keeps events for its reader. The server disconnects a reader that has stopped. A
    reader that is too slow misses the oldest events, whose numbers are then missing.
    """

    def __init__(self, history: EventHistory) -> None:
        self._history = history
        self._streams: set[_EventStream] = set()

    def operation(self) -> Operation:
        """Return the operation of the API."""
        return Operation(
            "GET",
            f"{API}/events",
            "Stream events as Server-Sent Events. The data of each is a JSON object with its "
            "number, time, event, level, message and fields.",
            self._handle,
            media_type=MEDIA_TYPE,
            parameters=(SINCE, RECENT, EXCLUDE, LAST_EVENT_ID),
            failures={400: "A parameter is malformed.", 503: "There are too many streams."},
        )

    def close(self) -> None:
        """End all streams."""
        for stream in self._streams:
            stream.end()

    async def _handle(self, request: Request) -> Response:
        start = self._start(request)
        excluded = _excluded(request)
        if len(self._streams) >= MAX_STREAMS:
            return error_response(f"there are {MAX_STREAMS} streams of events already", 503)
        return _EventStream(self._history, start, excluded, self._streams)

    def _start(self, request: Request) -> int:
        """Return the number after which the stream begins."""
        last_seen = request.headers.get("last-event-id", "")
        if last_seen.isascii() and last_seen.isdecimal() and len(last_seen) <= 18:
            return int(last_seen)
        since, recent = number_of(request, SINCE), number_of(request, RECENT)
        if since is not None:
            return since
        shown = self._history.recent(recent or 0)
        return shown[0].number - 1 if shown else self._history.last


class _EventStream(Response):
    """The response with one stream.

    :param start: the number after which it begins.
    :param excluded: types of events that are left out.
    :param streams: all streams, with this one while it lasts.
    """

    def __init__(
        self,
        history: EventHistory,
        start: int,
        excluded: Collection[type[Event]],
        streams: set[_EventStream],
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._history = history
        self._seen = start
        self._excluded = excluded
        self._streams = streams
        self._wake_up = asyncio.Event()
        self._has_ended = False

    def end(self) -> None:
        """End the stream soon."""
        self._has_ended = True
        self._wake_up.set()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client disconnects or the stream ends."""
        self._streams.add(self)
        unsubscribe = self._history.subscribe(self._wake_up.set, self._excluded)
        watch = asyncio.create_task(self._end_with_client(receive), name="reader of events")
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_events(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            unsubscribe()
            self._streams.discard(self)
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _send_events(self, send: Send) -> None:
        text = b": events\n\n"  # so that the client sees at once that it is connected
        while not self._has_ended:
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
            # Events that follow soon are sent together. Those that are left out wake nothing up.
            await asyncio.sleep(BATCH_INTERVAL)
            self._wake_up.clear()
            text = self._next()
            if not text and not await self._wait():
                text = b": no event\n\n"

    def _next(self) -> bytes:
        """Return the next events as text; nothing if there is none."""
        entries = self._history.after(self._seen, self._excluded)[:BATCH]
        self._seen = entries[-1].number if len(entries) == BATCH else self._history.last
        return b"".join(map(_format, entries))

    async def _wait(self) -> bool:
        """Wait for an event or the end. Return False if there was none in time."""
        try:
            async with asyncio.timeout(COMMENT_INTERVAL):
                while not self._has_ended and not self._wake_up.is_set():
                    await self._wake_up.wait()
        except TimeoutError:
            return False
        return True

    async def _end_with_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.end()


def _format(entry: NumberedEvent) -> bytes:
    name = EVENT_NAMES[type(entry.event)].encode()
    data = msgspec.json.encode(event_members(entry))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.number, name, data)


def _excluded(request: Request) -> frozenset[type[Event]]:
    """Return the types of events that a request leaves out.

    :raises HTTPException: there is no event of a name.
    """
    texts = request.query_params.getlist(EXCLUDE.name)
    names = frozenset(name for text in texts for name in text.split(",") if name)
    if unknown := sorted(names - _TYPES.keys()):
        raise HTTPException(400, f"{EXCLUDE.name}: there is no event {unknown[0][:64]!r}")
    return frozenset(_TYPES[name] for name in names)
