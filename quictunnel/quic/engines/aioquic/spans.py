"""Which bytes of a stream have come, or were acknowledged, ahead of earlier ones: spans in order.

They stand where aioquic has a list that is walked for every frame. How many there are is the peer's
choice, and in a receiver before it has proven anything: of single bytes with gaps between them, a
window's worth would keep the process busy for minutes. So there is a bound on them there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.stream import QuicStreamReceiver

if TYPE_CHECKING:
    from aioquic.quic.events import StreamDataReceived
    from aioquic.quic.packet import QuicStreamFrame

STREAM_SPANS_MAX = 8192
"""Spans of one stream: more than when every other datagram of the largest window is lost."""

CRYPTO_SPANS_MAX = 64
"""Spans of a handshake, whose messages are a dozen datagrams at most."""


class Spans:
    """Ranges of offsets that neither meet nor overlap, in order: an addition costs a search."""

    __slots__ = ("starts", "stops")

    def __init__(self) -> None:
        self.starts: list[int] = []
        """Where each begins. To be read: quicker than asking how many there are, or for a range."""
        self.stops: list[int] = []
        """Where each ends."""

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> range:
        return range(self.starts[index], self.stops[index])

    def add(self, start: int, stop: int) -> None:
        """Add the offsets from `start` up to `stop`, joining what they meet or overlap."""
        first = bisect_left(self.stops, start)
        beyond = bisect_right(self.starts, stop)
        if first < beyond:
            start = min(start, self.starts[first])
            stop = max(stop, self.stops[beyond - 1])
        self.starts[first:beyond] = [start]
        self.stops[first:beyond] = [stop]

    def shift(self) -> range:
        """Remove and return the first."""
        return range(self.starts.pop(0), self.stops.pop(0))

    def cut(self, stop: int) -> None:
        """Remove what of the first is below `stop`, which is in it or its end."""
        if stop == self.stops[0]:
            self.shift()
        else:
            self.starts[0] = stop


class BoundedReceiver(QuicStreamReceiver):
    """The receiving half of a stream, or of a handshake: ends the connection for too many spans.

    :param spans_max: how many may wait for what comes before them.
    """

    def __init__(self, stream_id: int | None, *, spans_max: int) -> None:
        super().__init__(stream_id, readable=True)
        self._ranges: Spans = Spans()  # type: ignore[assignment]  # all that a receiver asks of it
        self._spans_max = spans_max

    def advance(self, start: int, stop: int) -> bool:
        """Take the bytes up to `stop` for received if they are the next, and none wait behind them.

        :return: whether they are; if not, nothing has changed.
        """
        if (
            start != self._buffer_start
            or self._buffer
            or self._final_size is not None
            or self.is_finished
        ):
            return False
        self._buffer_start = self.highest_offset = stop
        return True

    def handle_frame(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        """Take a frame of data.

        :raises QuicConnectionError: the peer leaves more gaps than any network would.
        """
        event = super().handle_frame(frame)
        if len(self._ranges) > self._spans_max:
            raise QuicConnectionError(
                error_code=QuicErrorCode.INTERNAL_ERROR,
                frame_type=QuicFrameType.PADDING,  # stands for any (RFC 9000, 19.19)
                reason_phrase="too many gaps in what was sent",
            )
        return event
