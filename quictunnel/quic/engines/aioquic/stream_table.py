"""The open streams of a connection, and which of them have something to report or to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.quic.engines.aioquic.send_queue import SendQueue
from quictunnel.quic.engines.aioquic.streams import AioquicStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quictunnel.quic.engines.aioquic.receive_credit import ReceiveCredit


class StreamTable:
    """The open streams by ID. A stream that is idle stands in no other table, and costs no work.

    :param credit: counts the bytes that are read or dropped.
    """

    def __init__(self, credit: ReceiveCredit) -> None:
        self.open: dict[int, AioquicStream] = {}
        """All streams that have not ended, by ID. To be read."""
        self.send_queue = SendQueue()
        self.windows_moved: dict[int, AioquicStream] = {}
        """Streams of which the peer must hear a new limit, by ID."""
        self._credit = credit
        self._readable: dict[int, AioquicStream] = {}
        self._changed: dict[int, AioquicStream] = {}

    def add(self, stream_id: int, *, peer_limit: int) -> AioquicStream:
        """Add a new stream that may send so many bytes."""
        stream = AioquicStream(stream_id, on_change=self.on_change, peer_limit=peer_limit)
        self.open[stream_id] = stream
        return stream

    def on_change(self, stream: AioquicStream) -> None:
        """Look at a stream again: it may have something to send, or may have ended."""
        self._changed[stream.id] = stream
        if stream.wants_to_send and stream.id in self.open:
            self.send_queue.add(stream)

    # Reading

    def read(self, stream_id: int, limit: int, *, now: float, rtt: float) -> tuple[bytes, bool]:
        """Take up to about `limit` bytes, and whether they were the last. The window moves."""
        stream = self.open[stream_id]
        data = stream.take(limit)
        if data:
            self._credit.add_read(len(data))
            # Data behind a gap waits for the network, not for the reader.
            unread = stream.receiver.starting_offset() - stream.window.read - len(data)
            moved = stream.window.take(
                len(data), unread=unread, now=now, rtt=rtt, may_grow=self._credit.may_grow
            )
            if moved and not stream.fin_received:
                stream.max_stream_data_local = stream.window.limit
                self.windows_moved[stream_id] = stream
        if stream.fin_received and not stream.inbox:
            stream.fin_read = True
            self._changed[stream_id] = stream
        return data, stream.fin_read

    def stop_reading(self, stream_id: int, code: int) -> None:
        """Drop unread and future data."""
        stream = self.open[stream_id]
        stream.stop_reading(code)
        self._credit.add_read(stream.count_dropped())
        self.on_change(stream)

    # Receiving

    def on_data(self, stream_id: int, data: bytes, *, fin: bool) -> None:
        """Put data into the stream's inbox, or drop it if reading has stopped."""
        stream = self.open[stream_id]
        if fin:
            stream.fin_received = True
            self._changed[stream_id] = stream
        if stream.reading_stopped:
            self._credit.add_read(stream.count_dropped())
        else:
            stream.put(data)
            self._readable[stream_id] = stream

    def on_reset(self, stream_id: int) -> bool:
        """Handle a reset by the peer; return whether the reader must be told."""
        stream = self.open[stream_id]
        self._changed[stream_id] = stream
        if stream.reading_stopped:
            self._credit.add_read(stream.count_dropped())
        return not stream.reading_stopped

    def pop_readable(self) -> Iterator[int]:
        """Iterate over the streams with something to read, in the order in which it came."""
        readable, self._readable = self._readable, {}
        for stream_id, stream in readable.items():
            if not stream.reading_stopped:
                yield stream_id

    def pop_ended(self) -> Iterator[AioquicStream]:
        """Remove the streams that have ended, and iterate over them."""
        while self._changed:
            stream_id = next(iter(self._changed))
            stream = self._changed.pop(stream_id)
            if stream.may_be_discarded and self.open.pop(stream_id, None) is not None:
                self.send_queue.remove(stream)
                self.windows_moved.pop(stream_id, None)
                self._credit.add_read(stream.count_dropped())
                yield stream
