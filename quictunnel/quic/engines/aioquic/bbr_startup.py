"""What BBR does at first, on a path that nothing is known of; and what all its states share.

From draft-ietf-ccwg-bbr-04, section 5.3.1 ("Startup"). What it tries from then on is in
`bbr_probing`.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from aioquic.quic.congestion.base import K_INITIAL_WINDOW, QuicCongestionControl

from quictunnel.quic.engines.aioquic.bbr_model import Model
from quictunnel.quic.engines.aioquic.delivery import DeliveryRate, Departure

if TYPE_CHECKING:
    from quictunnel.quic.engines.aioquic.delivery import Sample

STARTUP_GAIN = 2.77
"""Doubles the rate each round trip (2.4, BBR.StartupPacingGain)."""

WINDOW_GAIN = 2.0
"""Bytes in flight, in bandwidth-delay products (2.5, BBR.DefaultCwndGain); ..."""

WINDOW_GAIN_UP = 2.25
"""... while more is probed for."""

DRAIN_GAIN = 0.35
UP_GAIN = 1.25
DOWN_GAIN = 0.9

HEADROOM = 0.85
"""What of the bytes that have been too many is used while cruising (2.7, BBR.Headroom), of those
that the path itself holds; ..."""

HEADROOM_QUEUE = 0.75
"""... and of those that a queue has borne beyond it. The draft's 0.85 leaves so little of a long
queue to a flow that fills it, as TCP's do, that such flows get a quarter of the line."""

MIN_PACKETS = 4
"""In flight at least (2.7, BBR.MinPipeCwnd)."""

FULL_GROWTH = 1.25
"""A path is full when its rate grows less than by this for so many rounds (5.3.1.2): ..."""

FULL_ROUNDS = 3

STARTUP_GROWTH = 1.1
"""Growth by so much in spite of too many losses is growth enough to go on with startup: who comes
last meets the others' queue, and overflows it long before it has its share. ..."""

STARTUP_LOSSES = 2
"""... Nor does one round without end it: just then another may have probed for more."""

PROBE_RTT_GAIN = 0.5


class State(Enum):
    """What is being done (5.3)."""

    STARTUP = "startup"
    DRAIN = "drain"
    DOWN = "probe bw, down"
    CRUISE = "probe bw, cruise"
    REFILL = "probe bw, refill"
    UP = "probe bw, up"
    PROBE_RTT = "probe rtt"


PROBE_BW = frozenset({State.DOWN, State.CRUISE, State.REFILL, State.UP})
SEARCHING = frozenset({State.STARTUP, State.REFILL, State.UP})

GAINS = {
    State.STARTUP: (STARTUP_GAIN, WINDOW_GAIN),
    State.DRAIN: (DRAIN_GAIN, WINDOW_GAIN),
    State.DOWN: (DOWN_GAIN, WINDOW_GAIN),
    State.CRUISE: (1.0, WINDOW_GAIN),
    State.REFILL: (1.0, WINDOW_GAIN),
    State.UP: (UP_GAIN, WINDOW_GAIN_UP),
    State.PROBE_RTT: (1.0, PROBE_RTT_GAIN),
}
"""Of the pacing rate and of the window."""


class Startup(QuicCongestionControl):
    """What is known and done of one path, up to the end of startup."""

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._max_datagram_size = max_datagram_size
        self._initial_window = K_INITIAL_WINDOW * max_datagram_size
        self._rate = DeliveryRate()
        self._model = Model(0.0)
        self._state = State.STARTUP
        self._began = False  # something was sent
        self._departures: dict[int, Departure] = {}  # by the packet's identity
        self.pacing_rate: float | None = None
        """Bytes a second; None before the first round trip."""
        self._window_limited = False  # the window was full in this round
        self._idle_restart = False
        # Whether the path is full (2.13)
        self._full_reached = False
        self._full_now = False
        self._full_bw = 0.0
        self._full_count = 0
        self._startup_bw = 0.0  # when it last grew
        self._startup_losses = 0  # rounds since then that lost too much
        self._startup_ends_at = 0  # bytes delivered or lost
        # Probing for more (2.10)
        self._cycle_began = 0.0
        self._probe_wait = 0.0
        self._rounds_since_probe = 0
        self._probe_samples = False  # what is acknowledged now flew while more was probed for
        self._up_since = 0.0
        self._up_rounds = 0
        self._up_acked = 0
        self._up_bytes = math.inf  # acknowledged for each packet more in flight
        # Looking for the shortest round trip (2.14)
        self._rtt_probe_ends: float | None = None
        self._rtt_probe_round_done = False
        self._window_before = 0

    # Sizes

    @property
    def _min_window(self) -> int:
        return MIN_PACKETS * self._max_datagram_size

    def _inflight(self, gain: float, bw: float | None = None) -> float:
        """Return how many bytes in flight are `gain` times what fills the path (5.6.4.2)."""
        bdp = self._model.bdp(self._model.bw if bw is None else bw, gain)
        if bdp is None:
            return self._initial_window
        # What leaves in bursts, and is acknowledged in bursts, needs a few packets more.
        bdp = max(bdp, self._min_window, 3 * self._quantum)
        return bdp + 2 * self._max_datagram_size if self._state is State.UP else bdp

    @property
    def _quantum(self) -> float:
        """Bytes that leave at once (5.6.3)."""
        rate = self.pacing_rate or 0.0
        return max(min(rate * 0.001, 64 * 1024), 2 * self._max_datagram_size)

    def _with_headroom(self) -> float:
        """Return how many bytes leave room for others' (5.3.3.6): more of it in queues."""
        bound = self._model.inflight_long
        if bound == math.inf:
            return math.inf
        path = min(self._inflight(1.0), bound * HEADROOM)
        kept = min(max(bound * HEADROOM_QUEUE, path), bound - self._max_datagram_size)
        return max(kept, self._min_window)

    # Startup (5.3.1)

    def _check_full(self, sample: Sample) -> None:
        if self._full_now or sample.newest.app_limited:
            return
        if sample.rate >= self._full_bw * FULL_GROWTH:
            self._reset_full(sample.rate)
            return
        if not self._model.round_start:
            return
        self._full_count += 1
        self._full_now = self._full_count >= FULL_ROUNDS
        self._full_reached |= self._full_now

    def _reset_full(self, bw: float = 0.0) -> None:
        self._full_bw = bw
        self._full_count = 0
        self._full_now = False

    def _check_startup(self, sample: Sample, now: float) -> None:
        if self._state is not State.STARTUP:
            return
        model = self._model
        if not self._full_reached and model.round_start:
            if model.rates.latest >= STARTUP_GROWTH * self._startup_bw:
                self._startup_bw = model.rates.latest
                self._startup_losses = 0
            elif model.is_too_high(sample.lost, sample.newest):
                self._startup_losses += 1
            if self._startup_losses >= STARTUP_LOSSES:
                self._full_reached = True
                model.bound(max(self._inflight(1.0), model.inflight_latest))
        if self._full_reached:
            self._state = State.DRAIN
            self._startup_ends_at = self._rate.resolved + self.bytes_in_flight

    def _is_of_now(self, packet: Departure) -> bool:
        """Return whether a packet left when all that startup had sent was delivered, or lost.

        What startup loses says how much the path holds, and not that what is sent since then is too
        much. The draft gives up a fifth of the rate for it, until the next probe.
        """
        return packet.delivered + packet.lost >= self._startup_ends_at
