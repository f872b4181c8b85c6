"""One stream: aioquic's two halves, an inbox for data that waits for its reader, and a window."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING

from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender

from quictunnel.quic.flow_control import STREAM_WINDOW, Window
from quictunnel.quic.limits import HANDSHAKE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioquic.quic.events import StreamDataReceived
    from aioquic.quic.packet import QuicStreamFrame

PIECE_MIN = 1024
"""Bytes below which neighbours in an inbox are joined. A piece costs 50 bytes beside its data, and
only data counts against the budget."""

GAPS_MAX = 8192
"""Largest number of gaps in what has arrived of a stream. A full window of 16 MiB has fewer even if
every second packet is lost. The peer chooses the number, so it must be bounded."""

_START, _STOP = attrgetter("start"), attrgetter("stop")


class EmptyFrame(Exception):
    """A STREAM frame has neither data nor the end of its stream. It changes nothing."""


class Ranges(RangeSet):
    """Ranges of bytes, found by bisection. aioquic walks all of them for each frame."""

    def add(self, start: int, stop: int | None = None) -> None:
        """Add the bytes from `start` up to `stop`."""
        assert stop is not None  # streams always name it
        ranges: list[range] = self._RangeSet__ranges  # type: ignore[attr-defined]
        first = bisect_left(ranges, start, key=_STOP)
        after = bisect_right(ranges, stop, first, key=_START)
        if first < after:
            start, stop = min(start, ranges[first].start), max(stop, ranges[after - 1].stop)
        ranges[first:after] = [range(start, stop)]


class AioquicStream(QuicStream):
    """A bidirectional stream.

    :param on_change: called with the stream when it may have something to send or may have ended.
    :param peer_limit: bytes that the peer allows us to send.
    """

    def __init__(
        self,
        stream_id: int,
        *,
        on_change: Callable[[AioquicStream], None],
        peer_limit: int,
    ) -> None:
        super().__init__(max_stream_data_local=STREAM_WINDOW, max_stream_data_remote=peer_limit)
        self.id = self.stream_id = stream_id
        self.sender: Sender = Sender(stream_id, lambda: on_change(self))
        self.receiver: Receiver = Receiver(stream_id, lambda: on_change(self))
        self.window = Window(STREAM_WINDOW)
        self.inbox: deque[bytes] = deque()
        self.fin_received = False
        """Everything up to the end is in the inbox, or was read."""
        self.fin_read = False
        """The reader knows of the end."""
        self.reading_stopped = False
        """Data that arrives is dropped."""
        self.was_reset = False
        """We have reset the stream: the observer hears nothing more of it."""

    @property
    def may_be_discarded(self) -> bool:
        """Both halves are finished, and the reader knows the end."""
        return self.is_finished and (self.fin_read or self.reading_stopped)

    @property
    def wants_to_send(self) -> bool:
        """There is a frame to write, flow control permitting."""
        sender = self.sender
        return sender.reset_pending or self.receiver.stop_pending or not sender.buffer_is_empty

    def put(self, data: bytes) -> None:
        """Append data to the inbox."""
        inbox = self.inbox
        if inbox and len(inbox[-1]) + len(data) <= PIECE_MIN:
            inbox[-1] += data
        elif data:
            inbox.append(data)

    def take(self, limit: int) -> bytes:
        """Remove and return data from the inbox, up to about `limit` bytes."""
        pieces = []
        size = 0
        while self.inbox and size < limit:
            piece = self.inbox.popleft()
            pieces.append(piece)
            size += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stop_reading(self, code: int) -> None:
        """Drop unread and future data, and ask a peer that has not finished to stop sending."""
        if not self.reading_stopped:
            self.reading_stopped = True
            self.inbox.clear()
            self.receiver.stop(code)

    def count_dropped(self) -> int:
        """Count dropped bytes as read, and return how many are new.

        After a reset this includes bytes that never arrived.
        """
        receiver = self.receiver
        end = receiver.highest_offset if receiver.is_finished else receiver.starting_offset()
        dropped = end - self.window.read
        self.window.read = end
        return dropped


class Sender(QuicStreamSender):
    """The sending half. It reports losses and its end."""

    def __init__(self, stream_id: int, on_change: Callable[[], None]) -> None:
        super().__init__(stream_id, writable=True)
        self._acked = Ranges()
        self._pending = Ranges()
        self._on_change = on_change

    @property
    def unsent(self) -> int:
        """Bytes written that have not been sent even once."""
        return 0 if self.was_reset else self._buffer_stop - self.highest_offset

    @property
    def was_reset(self) -> bool:
        """Nothing more is sent: we have reset it, or the peer has asked for that."""
        return self._reset_error_code is not None

    def is_blocked_at(self, limit: int) -> bool:
        """Return whether all data to send is at or beyond the offset `limit`."""
        return len(self._pending) > 0 and self._pending[0].start >= limit

    def on_data_delivery(
        self, delivery: QuicDeliveryState, start: int, stop: int, fin: bool
    ) -> None:
        """Handle the acknowledgement or loss of a STREAM frame."""
        super().on_data_delivery(delivery, start, stop, fin)
        if self.is_finished or delivery is not QuicDeliveryState.ACKED:
            self._on_change()

    def on_reset_delivery(self, delivery: QuicDeliveryState) -> None:
        """Handle the acknowledgement or loss of a RESET_STREAM frame."""
        super().on_reset_delivery(delivery)
        self._on_change()

    def reset(self, error_code: int) -> None:
        """Send nothing more but a reset, and free the buffer, which aioquic would keep."""
        super().reset(error_code)
        if self.was_reset:
            self._buffer.clear()
        self._on_change()


class Receiver(QuicStreamReceiver):
    """The receiving half of a stream, or of the handshake. It limits the gaps that a peer leaves.

    :param stream_id: None for the handshake; see `HandshakeReceiver`.
    :param on_change: called when a STOP_SENDING frame must be sent.
    """

    def __init__(self, stream_id: int | None, on_change: Callable[[], None]) -> None:
        super().__init__(stream_id, readable=True)
        self._ranges = Ranges()
        self._on_change = on_change

    def handle_frame(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        """Take a frame of data.

        :raises EmptyFrame: the frame changes nothing.
        :raises QuicConnectionError: there are more gaps than any network would cause.
        """
        if not frame.data and not frame.fin and self._stream_id is not None:
            raise EmptyFrame
        event = super().handle_frame(frame)
        if len(self._ranges) > GAPS_MAX:
            # PADDING stands for any frame type (RFC 9000, 19.19).
            raise QuicConnectionError(
                QuicErrorCode.INTERNAL_ERROR, QuicFrameType.PADDING, "too many gaps in a stream"
            )
        return event

    def on_stop_sending_delivery(self, delivery: QuicDeliveryState) -> None:
        """Send a lost STOP_SENDING frame again, unless the peer has finished meanwhile."""
        if not self.is_finished:
            super().on_stop_sending_delivery(delivery)
            self._on_change()

    def stop(self, error_code: int = 0) -> None:
        """Ask the peer to stop sending, unless it has finished."""
        if not self.is_finished:
            super().stop(error_code)
            self._on_change()


class HandshakeReceiver(Receiver):
    """The TLS messages of one encryption level. It limits them all, read or not."""

    def __init__(self) -> None:
        super().__init__(None, lambda: None)

    def handle_frame(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        """Take a CRYPTO frame.

        :raises QuicConnectionError: the messages are too long.
        """
        if frame.offset + len(frame.data) > HANDSHAKE_BYTES:
            raise QuicConnectionError(
                QuicErrorCode.CRYPTO_BUFFER_EXCEEDED,
                QuicFrameType.CRYPTO,
                "the handshake is too long",
            )
        return super().handle_frame(frame)
