"""What little a stream says, once more: where packets are lost a keystroke does not wait for that.

To see a loss and to mend it takes another round trip and a half. So the same bytes go again in
another packet, a little later, as losses come several at a time; a receiver drops what it has (RFC
9000, 2.2). What becomes of the first packet is for `recovery`, as ever: of the second nothing is
expected, and nothing remembered.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from quictunnel.quic.engines.aioquic.flights import FlightsConnection
from quictunnel.quic.engines.aioquic.sending import FRAME_HEADER_MAX, write_stream_frame

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicNetworkPath
    from aioquic.quic.packet_builder import QuicPacketBuilder
    from aioquic.quic.recovery import QuicPacketSpace

    from quictunnel.quic.engine import Datagram
    from quictunnel.quic.engines.aioquic.streams import StreamState

LITTLE = 1000
"""Bytes: they fit one packet."""

MEMORY = 10.0
"""Seconds for which a path is taken for one that loses some, after the last that it lost."""

LATER = 1 / 12
"""Round trips after which it is said once more, ..."""

LATER_MIN = 0.002
"""... and seconds, at least."""

PART = 1 / 64
"""How much may be said once more: a part of what is sent, ..."""

A_SECOND = 4096
"""... so many bytes a second besides, for those who send next to nothing, ..."""

AT_ONCE = 8192
"""... and so many at once."""


class Said(NamedTuple):
    """Bytes of a stream, from one offset to another."""

    state: StreamState
    start: int
    stop: int


class Repetitions:
    """What is to be said once more, and when."""

    def __init__(self) -> None:
        self._later: deque[tuple[float, Said]] = deque()
        self._credit = float(AT_ONCE)
        self._earned_at = 0.0
        self._sent = 0

    @property
    def next_at(self) -> float:
        """When the next is due."""
        return self._later[0][0] if self._later else math.inf

    def earn(self, sent: int, now: float) -> None:
        """Take note of how many bytes have been sent on the path so far."""
        fresh = max(sent - self._sent, 0)
        grown = self._credit + fresh * PART + (now - self._earned_at) * A_SECOND
        self._credit = min(grown, AT_ONCE)
        self._earned_at, self._sent = now, sent

    def add(self, said: Said, at: float) -> None:
        """Say it once more at a time, if that much may be."""
        size = said.stop - said.start + FRAME_HEADER_MAX
        if self._credit >= size:
            self._credit -= size
            self._later.append((at, said))

    def take_due(self, now: float) -> list[Said]:
        """Take those out that are due."""
        due = []
        while self.next_at <= now:
            due.append(self._later.popleft()[1])
        return due

    def clear(self) -> None:
        """Forget them: the path is another one."""
        self._later.clear()


class RepeatingConnection(FlightsConnection):
    """A connection that says once more what is little."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - aioquic's own
        super().__init__(**arguments)
        self._repetitions = Repetitions()
        self._said: list[Said] = []  # and not sent yet
        self._due: list[Said] = []

    def _begin_to_send(self, state: StreamState, size: int) -> None:
        """Let a stream send `size` bytes that were just written, in its turn."""
        if size <= LITTLE and state.number not in self._sending:
            stop = state.sender._buffer_stop
            self._said.append(Said(state, stop - size, stop))
        self._sending.begin(state)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what is to be sent now."""
        if self._repetitions.next_at <= now:
            self._due += self._repetitions.take_due(now)
        datagrams = super().datagrams_to_send(now)
        if self._said:
            self._look_ahead(now)
        return datagrams

    def _look_ahead(self, now: float) -> None:
        """See what was sent of what is little, and say it once more if the path loses some."""
        said, self._said = self._said, []
        self._repetitions.earn(self._network_paths[0].bytes_sent, now)
        rtt = self._loss.smoothed_rtt
        if rtt is None or now > self._loss.lost_at + MEMORY:
            return
        for one in said:
            if one.state.sender.highest_offset >= one.stop:
                self._repetitions.add(one, now + max(LATER * rtt, LATER_MIN))
            elif one.state.number in self._sending:
                self._said.append(one)  # the rate or the window holds it back

    def get_timer(self) -> float | None:
        """Return when something is to be done next."""
        timer = super().get_timer()
        return None if timer is None else min(timer, self._repetitions.next_at)

    def _forget_repetitions(self) -> None:
        """Say nothing once more of what was sent on another path."""
        self._repetitions.clear()
        self._said.clear()
        self._due.clear()

    def _has_own_frames(self, path: QuicNetworkPath) -> bool:
        return bool(self._due) or super()._has_own_frames(path)

    def _write_control_frames(
        self,
        builder: QuicPacketBuilder,
        network_path: QuicNetworkPath,
        space: QuicPacketSpace,
        now: float,
    ) -> None:
        super()._write_control_frames(builder, network_path, space, now)
        due, self._due = self._due, []
        for said in due:
            self._repeat(builder, said)

    def _repeat(self, builder: QuicPacketBuilder, said: Said) -> None:
        """Write a STREAM frame of what was said; what has come, or finds no room, needs none."""
        sender = said.state.sender
        first = sender._buffer_start
        size = said.stop - said.start
        has_come = said.start < first or sender.was_reset
        if not has_come and builder.remaining_flight_space >= size + FRAME_HEADER_MAX:
            data = bytes(sender._buffer[said.start - first : said.stop - first])
            write_stream_frame(builder, said.state.number, said.start, data)
