"""Which stream fills the next packet."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quictunnel.quic.engines.aioquic.streams import AioquicStream


class SendQueue:
    """The streams that have frames to send, and those that flow control blocks.

    Streams take turns, a packet each. A stream that had nothing to send has its first turn before
    the others: a keystroke does not wait for downloads. Idle streams are not here, so they cost no
    work.
    """

    def __init__(self) -> None:
        self._first: dict[int, AioquicStream] = {}
        self._others: dict[int, AioquicStream] = {}
        self._blocked: dict[int, AioquicStream] = {}
        self._starved: dict[int, AioquicStream] = {}

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def add(self, stream: AioquicStream) -> None:
        """Queue a stream that has something to send."""
        self._blocked.pop(stream.id, None)
        self._starved.pop(stream.id, None)
        if stream.id not in self._others:
            self._first[stream.id] = stream

    def head(self) -> AioquicStream:
        """Return the stream whose turn it is; the queue must not be empty."""
        return next(iter(self._first.values() if self._first else self._others.values()))

    def end_turn(self, stream: AioquicStream) -> None:
        """Move a stream to the end, or remove it if it has nothing more to send."""
        self._first.pop(stream.id, None)
        self._others.pop(stream.id, None)
        if stream.wants_to_send:
            self._others[stream.id] = stream

    def block(self, stream: AioquicStream, *, by_link: bool = False) -> None:
        """Set a stream aside: the peer must raise a limit before it may send more.

        :param by_link: whether that is the link's limit, and not the stream's own.
        """
        self.remove(stream)
        (self._starved if by_link else self._blocked)[stream.id] = stream

    def unblock(self, stream_id: int) -> None:
        """Queue a stream again whose own limit was raised."""
        stream = self._blocked.pop(stream_id, None)
        if stream is not None:
            self._others[stream_id] = stream

    def unblock_starved(self, count: int) -> None:
        """Queue up to `count` streams again that wait for the link's limit, in their order."""
        for stream_id in tuple(islice(self._starved, count)):
            self._others[stream_id] = self._starved.pop(stream_id)

    def remove(self, stream: AioquicStream) -> None:
        """Remove a stream."""
        for table in (self._first, self._others, self._blocked, self._starved):
            table.pop(stream.id, None)
