"""aioquic's stream, with what a proxy needs of it: an inbox, a window, and word of its end.

The connection owns these objects; nothing here sends or receives.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aioquic.buffer import size_uint_var
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStream, QuicStreamSender

from quictunnel.quic.engines.aioquic.spans import STREAM_SPANS_MAX, BoundedReceiver, Spans
from quictunnel.quic.flow_control import Window

if TYPE_CHECKING:
    from collections.abc import Callable


PIECE_MIN = 1024
"""Bytes up to which neighbours in the inbox are joined: each piece costs 50 bytes beside its own,
and what is unread is counted by the bytes alone."""


class StreamState(QuicStream):
    """One bidirectional stream as the engine knows it.

    :param touched: called with the stream when it has something to send again, or may have ended.
    :param window: how many bytes the peer may send before any has been read.
    """

    def __init__(
        self,
        stream_id: int,
        *,
        touched: Callable[[StreamState], None],
        window: int,
        max_stream_data_remote: int,
    ) -> None:
        super().__init__(
            stream_id=stream_id,
            max_stream_data_local=window,
            max_stream_data_remote=max_stream_data_remote,
        )
        self.number = stream_id
        self.sender: Sender = Sender(stream_id, lambda: touched(self))
        self.receiver: Receiver = Receiver(stream_id, lambda: touched(self))
        self.window = Window(window)
        self.clock = 0
        """What it has sent, in bytes, on a clock that all streams have in common."""
        self.unread: deque[bytes] = deque()
        self.fin_received = False  # every byte up to the end is in the inbox, or was read
        self.fin_read = False  # the reader has been told of the end
        self.unwanted = False  # nobody reads any more: what comes is dropped
        self.forgotten = False  # reset by us: the link is told nothing more of it

    @property
    def may_be_discarded(self) -> bool:
        """Both halves are over, and the reader knows all that there was to know."""
        return self.is_finished and (self.fin_read or self.unwanted)

    @property
    def wants_to_send(self) -> bool:
        """There is a frame to be written, flow control allowing."""
        sender = self.sender
        return sender.reset_pending or self.receiver.stop_pending or not sender.buffer_is_empty

    def keep(self, data: bytes) -> None:
        """Put data into the inbox."""
        unread = self.unread
        if unread and len(unread[-1]) + len(data) <= PIECE_MIN:
            unread[-1] += data
        else:
            unread.append(data)

    def stop_reading(self, code: int) -> None:
        """Drop what is unread and what comes; ask a peer that has not ended for no more."""
        if not self.unwanted:
            self.unwanted = True
            self.unread.clear()
            self.receiver.stop(code)


class Sender(QuicStreamSender):
    """The sending half: says when it has something to send again or has ended."""

    def __init__(self, stream_id: int, touched: Callable[[], None]) -> None:
        super().__init__(stream_id, writable=True)
        self._acked: Spans = Spans()  # type: ignore[assignment]  # all that a sender asks of it
        self._pending: Spans = Spans()  # type: ignore[assignment]
        self._overhead = 3 + size_uint_var(stream_id)  # of a frame: type, stream, length
        self._touched = touched

    @property
    def unsent(self) -> int:
        """Bytes written that have not been sent even once."""
        return 0 if self.reset_pending else self._buffer_stop - self.highest_offset

    @property
    def was_reset(self) -> bool:
        """Nothing more is sent: we have reset it, or the peer has asked for that."""
        return self._reset_error_code is not None

    def is_held(self, limit: int) -> bool:
        """Return whether bytes are to be sent, and all of them from the offset `limit` on."""
        starts = self._pending.starts
        return bool(starts) and starts[0] >= limit

    def take(self, room: int, limit: int) -> tuple[int, bytes, bool] | None:
        """Return what comes next: its offset, data, and whether it is the last of the stream.

        :param room: bytes that a STREAM frame of it may have, with its header.
        :param limit: the offset at which the peer's flow control stops us.
        :return: None if nothing may be sent.
        """
        pending = self._pending
        start = pending.starts[0] if pending.starts else self._buffer_stop
        room -= self._overhead + (size_uint_var(start) if start else 0)
        if room < 0:
            return None
        data = b""
        fin = self._pending_eof
        if pending.starts:
            stop = min(start + room, pending.stops[0], limit)
            if stop <= start:
                return None
            first = self._buffer_start
            data = bytes(self._buffer[start - first : stop - first])
            pending.cut(stop)
            self.highest_offset = max(self.highest_offset, stop)
            fin = stop == self._buffer_fin
        elif not fin:
            self.buffer_is_empty = True
            return None
        if fin:
            self._pending_eof = False
        if not pending.starts and not self._pending_eof:
            self.buffer_is_empty = True
        return start, data, fin

    def on_data_delivery(
        self, delivery: QuicDeliveryState, start: int, stop: int, fin: bool
    ) -> None:
        """Take word of a frame: acknowledged or lost."""
        if (
            start == self._buffer_start
            and delivery is QuicDeliveryState.ACKED
            and not (fin or self._acked_fin or self._acked.starts or self.was_reset)
        ):
            # The oldest, as nearly always, and not the last: aioquic's way ends at the same.
            self._buffer_start = stop
            del self._buffer[: stop - start]
            return
        super().on_data_delivery(delivery, start, stop, fin)
        if self.is_finished or delivery != QuicDeliveryState.ACKED:
            self._touched()

    def on_reset_delivery(self, delivery: QuicDeliveryState) -> None:
        """Take word of a RESET_STREAM frame: acknowledged or lost."""
        super().on_reset_delivery(delivery)
        self._touched()

    def reset(self, error_code: int) -> None:
        """End at once. What was written is let go of: aioquic would keep it until the very end."""
        super().reset(error_code)
        if self.was_reset:
            self._buffer.clear()
            self._buffer_stop = self.highest_offset
        self._touched()


class Receiver(BoundedReceiver):
    """The receiving half: says when its STOP_SENDING was lost."""

    def __init__(self, stream_id: int, touched: Callable[[], None]) -> None:
        super().__init__(stream_id, spans_max=STREAM_SPANS_MAX)
        self._touched = touched

    def on_stop_sending_delivery(self, delivery: QuicDeliveryState) -> None:
        """Take word of a STOP_SENDING frame: a lost one matters only while the peer may send."""
        if delivery != QuicDeliveryState.ACKED and not self.is_finished:
            self.stop_pending = True
            self._touched()

    def stop(self, error_code: int = 0) -> None:
        """Ask the peer to send no more, unless it has ended already."""
        if not self.is_finished:
            super().stop(error_code)
            self._touched()
