"""BBR, version 3: how fast to send, and how much may be in flight, by a model of the path.

From draft-ietf-ccwg-bbr-04, sections 5.3 ("State Machine") and 5.6 ("Control Parameters"); the
model itself is `bbr_model`. It is aioquic's congestion control interface, and what `recovery` asks
beyond it: a pacing rate, word of the end of each ACK, and of there being less to send than could.

What the draft leaves to fast recovery of TCP (packet conservation) is not done: random loss would
keep a connection in recovery for ever, and the pacing rate follows the rate of delivery anyway.
"""

from __future__ import annotations

import math
import random
from enum import Enum
from typing import TYPE_CHECKING

from aioquic.quic.congestion.base import (
    K_INITIAL_WINDOW,
    QuicCongestionControl,
    register_congestion_control,
)

from quictunnel.link.aioquic_engine.bbr_model import BETA, Model
from quictunnel.link.aioquic_engine.delivery import DeliveryRate, Departure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioquic.quic.packet_builder import QuicSentPacket

    from quictunnel.link.aioquic_engine.delivery import Sample

STARTUP_GAIN = 2.77
"""Doubles the rate each round trip (2.4, BBR.StartupPacingGain)."""

WINDOW_GAIN = 2.0
"""Bytes in flight, in bandwidth-delay products (2.5, BBR.DefaultCwndGain); ..."""

WINDOW_GAIN_UP = 2.25
"""... while more is probed for."""

DRAIN_GAIN = 0.35
UP_GAIN = 1.25
DOWN_GAIN = 0.9

MARGIN = 0.99
"""A hundredth less than the path delivers, so that a queue drains (2.4, PacingMarginPercent)."""

HEADROOM = 0.85
"""What of the bytes that have been too many is used while cruising (2.7, BBR.Headroom)."""

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
PROBE_RTT_SECONDS = 0.2
"""How long little is in flight for the round-trip time to show (2.14)."""

PROBE_WAIT = (2.0, 3.0)
"""Seconds between probes for more (5.3.3.5.2), ..."""

PROBE_ROUNDS = 63
"""... and rounds at most, so that Reno beside it gets its share."""


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


class Bbr(QuicCongestionControl):
    """The congestion control of one path."""

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

    # What aioquic tells

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        """Take note of what leaves (5.4)."""
        now = packet.sent_time
        assert now is not None  # it is being sent
        if not self._began:
            self._began = True
            self._model = Model(now)
        if not self.bytes_in_flight and self._rate.is_app_limited:
            self._restart_from_idle(now)
        self._departures[id(packet)] = self._rate.departs(
            packet.sent_bytes, in_flight=self.bytes_in_flight, now=now
        )
        self.bytes_in_flight += packet.sent_bytes
        if self.bytes_in_flight + self._max_datagram_size > self.congestion_window:
            self._window_limited = True

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        """Count what has arrived; what follows from it waits for `on_ack_end`."""
        self.bytes_in_flight -= packet.sent_bytes
        departure = self._departures.pop(id(packet), None)
        if departure is not None:
            self._rate.arrives(departure, now)

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        """Forget what is neither known to have arrived nor to be lost."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            self._departures.pop(id(packet), None)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        """Take note of losses (5.5.10.2)."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            departure = self._departures.pop(id(packet), None)
            if departure is None:
                continue
            self._rate.vanishes(departure)
            if self._probe_samples:
                self._look_at_loss(departure, now)

    def on_persistent_congestion(self) -> None:
        """Begin anew with little: nothing has arrived for long (RFC 9002, 7.6.2)."""
        self.congestion_window = self._min_window

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Take a round-trip time."""
        self._model.update_min_rtt(rtt, now)
        if self.pacing_rate is None:
            self.pacing_rate = STARTUP_GAIN * self._initial_window / max(rtt, 0.001)

    # What recovery tells beyond that

    def on_ack_end(self, now: float) -> None:
        """Do what follows from an ACK, when all that it says is known (5.2.3)."""
        model = self._model
        sample = self._rate.sample(model.min_rtt if model.min_rtt < math.inf else 0.0)
        if sample is None:
            return
        model.update_rate(
            sample,
            self._rate.delivered,
            may_lower=self._state not in SEARCHING and self._is_of_now(sample.newest),
            keeping=self._state in (State.DOWN, State.CRUISE),
            cruising=self._state is State.CRUISE,
        )
        if model.round_start:
            self._rounds_since_probe += 1
        model.update_extra_acked(sample.acked, self.congestion_window, now)
        self._check_full(sample)
        self._check_startup(sample, now)
        if self._state is State.DRAIN and self.bytes_in_flight <= self._inflight(1.0):
            self._go_down(now)
        if self._full_reached:
            self._adapt_long(sample, now)
            if self._state in PROBE_BW:
                self._cycle(sample, now)
        self._check_probe_rtt(now)
        model.end_update(sample)
        if model.round_start:
            self._window_limited = False
        self._set_pacing_rate()
        self._set_window(sample)

    def on_spurious_loss(self, size: int) -> None:
        """Take back what a loss has done that was none (5.5.10.4)."""
        self._rate.reappears(size)
        self._model.undo_losses()

    def on_app_limited(self) -> None:
        """There is less to send than could be sent."""
        if self.bytes_in_flight < self.congestion_window:
            self._rate.limit(self.bytes_in_flight)

    def set_max_datagram_size(self, size: int) -> None:
        """Go on with datagrams of `size` bytes."""
        self._max_datagram_size = size

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
        """Return how many bytes leave room for others' (5.3.3.6)."""
        if self._model.inflight_long == math.inf:
            return math.inf
        return max(self._model.inflight_long * HEADROOM, self._min_window)

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
            if model.bw_latest >= STARTUP_GROWTH * self._startup_bw:
                self._startup_bw = model.bw_latest
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

    # Probing for more (5.3.3)

    def _cycle(self, sample: Sample, now: float) -> None:
        model = self._model
        if self._state is State.REFILL:
            if model.round_start:
                self._probe_samples = True
                self._go_up(sample, now)
        elif self._state is State.UP:
            if self._window_limited and self.congestion_window >= model.inflight_long:
                self._reset_full(sample.rate)  # it is the bound that keeps the rate from growing
            elif self._full_now or self._has_built_queue(now):
                self._go_down(now)
        elif self._is_time_to_probe(now):
            self._refill()
        elif self._state is State.DOWN and self.bytes_in_flight <= min(
            self._with_headroom(), self._inflight(1.0, model.max_bw)
        ):
            self._state = State.CRUISE

    def _has_built_queue(self, now: float) -> bool:
        """Return whether so much is in flight that there is no more to be had.

        Version 2 went down for it (draft-cardwell-iccrg-bbr-congestion-control-02, 4.3.3.6), and
        it keeps queues short for those who wait behind a probe.
        """
        model = self._model
        too_many = self._inflight(UP_GAIN, model.max_bw) + model.extra_acked
        return now > self._up_since + model.min_rtt and self.bytes_in_flight > too_many

    def _is_time_to_probe(self, now: float) -> bool:
        reno_rounds = self._target() / self._max_datagram_size
        return now > self._cycle_began + self._probe_wait or self._rounds_since_probe >= min(
            reno_rounds, PROBE_ROUNDS
        )

    def _target(self) -> float:
        return min(self._inflight(1.0), self.congestion_window)

    def _go_down(self, now: float) -> None:
        self._model.reset_signals()
        self._up_bytes = math.inf
        # Links that share a line are not to probe together. What has happened so far makes dice
        # that differ for each of them, and are the same when a run in virtual time is repeated.
        dice = random.Random(f"{now} {self._rate.delivered}")
        self._rounds_since_probe = dice.randrange(2)
        self._probe_wait = dice.uniform(*PROBE_WAIT)
        self._cycle_began = now
        self._model.start_round(self._rate.delivered)
        if not self._rate.is_app_limited:
            self._model.advance_cycle()
        self._state = State.DOWN

    def _refill(self) -> None:
        self._model.reset_short()
        self._up_rounds = 0
        self._up_acked = 0
        self._model.start_round(self._rate.delivered)
        self._state = State.REFILL

    def _go_up(self, sample: Sample, now: float) -> None:
        self._up_since = now
        self._model.start_round(self._rate.delivered)
        self._reset_full(sample.rate)
        self._state = State.UP
        self._raise_slope()

    def _raise_slope(self) -> None:
        """Let the bound on what is in flight grow twice as fast as in the last round."""
        growth = self._max_datagram_size << self._up_rounds
        self._up_rounds = min(self._up_rounds + 1, 30)
        packets = max(self.congestion_window // growth, 1)
        self._up_bytes = packets * self._max_datagram_size

    def _adapt_long(self, sample: Sample, now: float) -> None:
        """Raise the bound on what is in flight, or lower it (5.5.10.2)."""
        model = self._model
        if model.is_too_high(sample.lost, sample.newest):
            if self._probe_samples:
                self._too_high(sample.newest.in_flight, sample.newest, now)
            return
        if model.inflight_long == math.inf:
            return
        model.inflight_long = max(model.inflight_long, sample.newest.in_flight)
        if self._state is not State.UP:
            return
        if not self._window_limited or self.congestion_window < model.inflight_long:
            return
        self._up_acked += sample.acked
        if self._up_acked >= self._up_bytes:
            steps = self._up_acked // self._up_bytes
            self._up_acked -= int(steps * self._up_bytes)
            model.inflight_long += steps * self._max_datagram_size
        if model.round_start:
            self._raise_slope()

    def _look_at_loss(self, packet: Departure, now: float) -> None:
        lost = self._rate.lost - packet.lost
        if self._model.is_too_high(lost, packet):
            self._too_high(packet.in_flight, packet, now)

    def _too_high(self, in_flight: int, packet: Departure, now: float) -> None:
        """Probing has gone too far."""
        self._probe_samples = False
        if not packet.app_limited:
            self._model.bound(max(in_flight, BETA * self._target()))
        if self._state is State.UP:
            self._go_down(now)

    # Looking for the shortest round trip (5.3.4)

    def _check_probe_rtt(self, now: float) -> None:
        model = self._model
        if self._state is not State.PROBE_RTT and model.rtt_expired and not self._idle_restart:
            self._window_before = self.congestion_window
            self._state = State.PROBE_RTT
            self._rtt_probe_ends = None
            model.start_round(self._rate.delivered)
        self._idle_restart = False
        if self._state is not State.PROBE_RTT:
            return
        self._rate.limit(self.bytes_in_flight)
        if self._rtt_probe_ends is None:
            if self.bytes_in_flight <= self._probe_rtt_window():
                self._rtt_probe_ends = now + PROBE_RTT_SECONDS
                self._rtt_probe_round_done = False
                model.start_round(self._rate.delivered)
            return
        self._rtt_probe_round_done |= model.round_start
        if self._rtt_probe_round_done and now > self._rtt_probe_ends:
            self._end_probe_rtt(now)

    def _end_probe_rtt(self, now: float) -> None:
        self._model.rtt_probed(now)
        self._model.rtt_expired = False
        self.congestion_window = max(self.congestion_window, self._window_before)
        self._model.reset_short()
        if self._full_reached:
            self._go_down(now)
            self._state = State.CRUISE
        else:
            self._state = State.STARTUP

    def _probe_rtt_window(self) -> float:
        bdp = self._model.bdp(self._model.bw, PROBE_RTT_GAIN) or self._initial_window
        return max(bdp, self._min_window)

    # What is sent (5.6)

    def _restart_from_idle(self, now: float) -> None:
        self._idle_restart = True
        self._model.restart_extra_acked(now)
        if self._state in PROBE_BW and self._model.max_bw:
            self.pacing_rate = MARGIN * self._model.bw
        elif (
            self._state is State.PROBE_RTT
            and self._rtt_probe_ends is not None
            and now > self._rtt_probe_ends
        ):
            self._end_probe_rtt(now)

    def _set_pacing_rate(self) -> None:
        rate = GAINS[self._state][0] * self._model.bw * MARGIN
        if rate:  # never so slow that the next acknowledgement, on which all depends, is far away
            rate = max(rate, self._min_window / max(self._model.latest_rtt, 0.001))
        if rate and (self._full_reached or rate > (self.pacing_rate or 0.0)):
            self.pacing_rate = rate

    def _set_window(self, sample: Sample) -> None:
        model = self._model
        window: float = self.congestion_window
        most = self._inflight(GAINS[self._state][1]) + model.extra_acked
        if self._full_reached:
            window = min(window + sample.acked, most)
        elif window < most or self._rate.delivered < self._initial_window:
            window += sample.acked
        if self._state is State.PROBE_RTT:
            window = min(window, self._probe_rtt_window())
        cap = model.inflight_short
        if self._state in (State.CRUISE, State.PROBE_RTT):
            cap = min(cap, self._with_headroom())
        elif self._state in PROBE_BW:
            cap = min(cap, model.inflight_long)
        self.congestion_window = int(max(min(window, cap), self._min_window))


register_congestion_control("bbr", Bbr)
