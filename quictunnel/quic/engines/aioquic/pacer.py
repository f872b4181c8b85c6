"""When packets leave: at the congestion control's own rate, or as its window says (RFC 9002, 7.7).

A burst may go that covers what an event loop's timer cannot do better. How fast is decided
elsewhere.
"""

from __future__ import annotations

from aioquic.quic.recovery import QuicPacketPacer

BURST_DATAGRAMS = 10
"""What may leave at once (RFC 9002, 7.7: no more than the initial window of ten datagrams)."""

BURST_DATAGRAMS_PACED = 2
"""The same where the rate is the congestion control's own: it measures what bursts would blur."""

TIMER_GRANULARITY = 0.002
"""Seconds. An event loop wakes up to a millisecond or two late: what the rate allows in that time
may leave at once as well, or fast paths would be paced by the clock."""

LATENESS = 0.004
"""Seconds. A loop that has much to do wakes up later still. What was due meanwhile leaves at once,
or a rate that follows what was delivered would fall for want of processor time: as much as is due
in so long, ..."""

CAUGHT_UP_ON = 1 / 16
"""... or this part of the congestion window, which is an eighth of what the path holds; ..."""

CAUGHT_UP_ON_MOST = 96 * 1024
"""... of which no more than so many bytes. A pipe that has run empty is not filled later: what goes
beyond what the path still held is a queue that stays until the rate falls below the path's."""

IDLE_AFTER = 0.1
"""Seconds after which a loop was not late: nothing was there to be sent."""

PACING_GAIN = 1.25
"""How much faster than window / RTT to send, so that pacing never starves the window (7.7)."""


class Pacer(QuicPacketPacer):
    """A token bucket in bytes, filled at the congestion control's own rate, or as its window says.

    It stands where aioquic has its own, which counts datagrams and bursts for two of them.
    """

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.max_datagram_size = max_datagram_size
        self._rate: float | None = None  # bytes a second; None until there is an RTT
        self._follows_window = True
        self._tokens = 0.0
        self._capacity = 0.0  # what may leave at once: after a pause, ...
        self._capacity_late = 0.0  # ... and where more was to be sent, and the timer was late
        self._filled_at = 0.0
        self._due_at: float | None = None  # when what had to wait was to leave

    def next_send_time(self, now: float) -> float | None:  # type: ignore[override]  # may be None in aioquic too
        """Return when the next datagram may leave; None is at once."""
        if self._rate is None:
            return None
        self._fill(now)
        if self._tokens > 0:
            self._due_at = None
        else:
            self._due_at = now + (self.max_datagram_size - self._tokens) / self._rate
        return self._due_at

    @property
    def rate(self) -> float:
        """Bytes a second; 0 before there is a round-trip time."""
        return self._rate or 0.0

    def update_after_send(self, now: float, size: int | None = None) -> None:
        """Take what left: `size` bytes, or a full datagram."""
        if self._rate is not None:
            self._fill(now)
            self._tokens -= self.max_datagram_size if size is None else size

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """Follow the congestion window (bytes) and the round-trip time (seconds)."""
        if self._follows_window:
            rate = PACING_GAIN * congestion_window / max(smoothed_rtt, 1e-6)
            self._set_rate(rate, congestion_window, BURST_DATAGRAMS)

    def set_rate(self, rate: float, congestion_window: int) -> None:
        """Keep to so many bytes a second from now on, whatever the window says."""
        self._follows_window = False
        self._set_rate(rate, congestion_window, BURST_DATAGRAMS_PACED)

    def _set_rate(self, rate: float, window: int, burst: int) -> None:
        first = self._rate is None
        self._rate = rate
        self._capacity = max(burst * self.max_datagram_size, rate * TIMER_GRANULARITY)
        of_window = min(CAUGHT_UP_ON * window, CAUGHT_UP_ON_MOST)
        self._capacity_late = max(self._capacity, rate * LATENESS, of_window)
        self._tokens = self._capacity if first else min(self._tokens, self._capacity)

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            rate = self._rate or 0.0
            most = self._capacity
            if self._due_at is not None and now < self._due_at + IDLE_AFTER:
                most = self._capacity_late
            grown = self._tokens + (now - self._filled_at) * rate
            self._tokens = max(self._tokens, min(grown, most))
            self._filled_at = now
