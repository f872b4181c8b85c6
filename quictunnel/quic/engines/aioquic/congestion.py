"""Congestion control: BBR version 3 and the pacer.

BBR follows draft-ietf-ccwg-bbr-04, whose sections the docstrings cite. `Bbr` is its state machine
and its output: the pacing rate and the congestion window. The parts of its model of the path are
small classes: `DeliveryRateSampler`, `Rounds`, `MaxBandwidth`, `MinRtt`, `FullBandwidth` and
`CongestionSignals`. `Pacer` spreads packets over time, for aioquic's cubic and reno as well.

Sizes are in bytes, rates in bytes per second, times in seconds.

Departures from the draft:

- When losses end Startup, they do not set the long-term inflight bound (5.3.1.3). A link that
  starts beside another one loses packets before it has its share. With the bound it gets a fifth of
  the line, without it a quarter (`make bench-line`, line "sharing").
- Startup counts lost datagrams, not separate runs of them (5.3.1.3).
- ProbeBW_UP lifts the long-term inflight bound until too much is lost. It does not raise the bound
  step by step (5.3.3.6). One probe finds a rate that has doubled (line "changes").
- The bandwidth-delay product assumes a round trip of `ACK_TIME` at least.
- The pacing rate has a lower bound: `MIN_PIPE_CWND_PACKETS` per round trip. After an outage the
  measured rate is almost 0, and the next ACK would be minutes away.
- Losses are counted in the rounds of 5.5.1, not in rounds that start with a loss (5.5.10.3).
- ProbeRTT ends with the first round after `PROBE_RTT_DURATION`.
- Left out, because no line needs it: ACK aggregation (5.5.9), the offload budget (5.5.8), the
  inflight prefix of a lost packet (5.5.10.2), the pacing rate of a restart from idle (5.4.1) and
  the window in loss recovery (5.6.4.4).
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from aioquic.quic.congestion.base import (
    K_INITIAL_WINDOW,
    QuicCongestionControl,
    register_congestion_control,
)
from aioquic.quic.recovery import QuicPacketPacer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioquic.quic.packet_builder import QuicSentPacket

STARTUP_PACING_GAIN = 2.77
"""Pacing gain in Startup. It doubles the rate each round trip (2.4)."""

DRAIN_PACING_GAIN = 0.35
"""Pacing gain in Drain (2.4)."""

PROBE_BW_DOWN_PACING_GAIN = 0.9
"""Pacing gain in ProbeBW_DOWN (5.6.1)."""

PROBE_BW_UP_PACING_GAIN = 1.25
"""Pacing gain in ProbeBW_UP (5.6.1)."""

PACING_MARGIN = 0.01
"""Share of the bandwidth that pacing leaves unused, so that queues drain (2.4,
BBR.PacingMarginPercent)."""

DEFAULT_CWND_GAIN = 2.0
"""Congestion window as a multiple of the bandwidth-delay product (2.5)."""

PROBE_BW_UP_CWND_GAIN = 2.25
"""The same in ProbeBW_UP (5.6.1)."""

PROBE_RTT_CWND_GAIN = 0.5
"""The same in ProbeRTT (2.13.2)."""

LOSS_THRESH = 0.02
"""Share of a flight that may be lost before the flight counts as too large (2.7)."""

BETA = 0.7
"""Factor by which a round with losses lowers the short-term bounds at most (2.7)."""

HEADROOM = 0.15
"""Share of the long-term inflight bound that cruising leaves to other flows (2.7)."""

MIN_PIPE_CWND_PACKETS = 4
"""Smallest congestion window, in datagrams (2.7, BBR.MinPipeCwnd)."""

MAX_BW_FILTER_LEN = 2
"""Length of the bandwidth filter in ProbeBW cycles (2.10)."""

FULL_BW_GROWTH = 1.25
"""Growth of the delivery rate within a round below which the path may be full (5.3.1.2)."""

FULL_BW_ROUNDS = 3
"""Rounds without such growth after which the path counts as full (5.3.1.2)."""

STARTUP_FULL_LOSS_COUNT = 6
"""Datagrams. Startup ends in a round that loses more than this, and more than `LOSS_THRESH` of the
flight (5.3.1.3)."""

MIN_RTT_FILTER_LEN = 10.0
"""Seconds for which a minimum round-trip time is valid (2.13.1)."""

PROBE_RTT_INTERVAL = 5.0
"""Seconds without a new minimum round-trip time after which ProbeRTT starts (2.13.2)."""

PROBE_RTT_DURATION = 0.2
"""Seconds that ProbeRTT lasts at least (2.13.2)."""

BW_PROBE_WAIT = (2.0, 3.0)
"""Seconds between two bandwidth probes: minimum and maximum (5.3.3.5.3)."""

BW_PROBE_MAX_ROUNDS = 63
"""Maximum round trips between two bandwidth probes, for coexistence with Reno (5.3.3.5.3)."""

BURST_DATAGRAMS = 10
"""Datagrams that may leave at once: the initial window (RFC 9002, 7.7)."""

BURST_TIME = 0.004
"""Seconds of the pacing rate that may leave at once. An event loop wakes up late by about as much.
Without this allowance, BBR would measure the processor and slow down."""

ACK_TIME = 0.005
"""Seconds that an ACK may take however short the path is: for delayed ACKs and busy event loops.
Without it, the window would be too small for a local path, which would stand idle between ACKs."""

WINDOW_PACING_GAIN = 1.25
"""Pacing rate as a multiple of window / RTT, so that pacing never starves the window (RFC 9002,
7.7)."""


# Delivery rate samples (4.1)


@dataclass(slots=True)
class PacketState:
    """State of the connection at the time a packet was sent (4.1.2.1.2, P.*)."""

    sent_at: float
    """Time at which it was sent."""
    first_sent_at: float
    """Time at which the first packet of the sampling interval was sent."""
    delivered: int
    """Bytes delivered by then."""
    delivered_at: float
    """Time of the last delivery by then."""
    lost: int
    """Bytes lost by then."""
    in_flight: int
    """Bytes in flight, including this packet."""
    app_limited: bool
    """Whether the application had less to send than the window allowed."""


@dataclass(slots=True)
class RateSample:
    """A measurement of the path from one ACK (4.1.2.1.3, RS.*)."""

    newest: PacketState
    """The acknowledged packet that was sent last."""
    delivery_rate: float
    """Bytes per second; 0 if the interval was too short to tell."""
    delivered: int
    """Bytes delivered since `newest` was sent."""
    lost: int
    """Bytes lost since `newest` was sent."""
    newly_acked: int
    """Bytes that this ACK acknowledges."""


class DeliveryRateSampler:
    """Counts delivered and lost bytes, and derives a rate sample from each ACK (4.1.2)."""

    def __init__(self) -> None:
        self.delivered = 0
        """Bytes delivered so far."""
        self.lost = 0
        """Bytes lost so far."""
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._app_limited_until = 0  # delivered bytes; 0 if not application-limited
        self._newest: PacketState | None = None
        self._newly_acked = 0

    @property
    def is_app_limited(self) -> bool:
        """Whether packets sent now are marked as application-limited."""
        return self._app_limited_until > 0

    def mark_app_limited(self, in_flight: int) -> None:
        """Mark samples as application-limited until `in_flight` bytes are delivered (4.1.2.4)."""
        self._app_limited_until = max(1, self.delivered + in_flight)

    def on_sent(self, size: int, in_flight: int, now: float) -> PacketState:
        """Return the state to keep with a packet; `in_flight` excludes the packet (4.1.2.2)."""
        if not in_flight:
            self._first_sent_at = self._delivered_at = now
        flight, limited = in_flight + size, self.is_app_limited
        return PacketState(
            now, self._first_sent_at, self.delivered, self._delivered_at, self.lost, flight, limited
        )

    def on_acked(self, packet: PacketState, size: int, now: float) -> None:
        """Count a delivered packet (4.1.2.3)."""
        self.delivered += size
        self._newly_acked += size
        self._delivered_at = now
        if self._newest is None or packet.sent_at >= self._newest.sent_at:
            self._newest = packet

    def take_sample(self, min_rtt: float) -> RateSample | None:
        """Return a sample of the deliveries since the last call, if there are any (4.1.2.3)."""
        newest, self._newest = self._newest, None
        if newest is None:
            return None
        if self.delivered > self._app_limited_until:
            self._app_limited_until = 0
        self._first_sent_at = newest.sent_at
        newly_acked, self._newly_acked = self._newly_acked, 0
        delivered, lost = self.delivered - newest.delivered, self.lost - newest.lost
        span = max(newest.sent_at - newest.first_sent_at, self._delivered_at - newest.delivered_at)
        rate = delivered / span if span >= max(min_rtt, 1e-6) else 0.0
        return RateSample(newest, rate, delivered, lost, newly_acked)


# The model of the path (5.5)


class Rounds:
    """Detects round trips by delivered packets (5.5.1)."""

    def __init__(self) -> None:
        self.started = False
        """Whether the current ACK starts a round."""
        self.since_bw_probe = 0
        """Rounds since the last bandwidth probe."""
        self._next_round_delivered = 0

    def start(self, delivered: int) -> None:
        """Start a round now."""
        self._next_round_delivered = delivered

    def update(self, sample: RateSample, delivered: int) -> None:
        """Check whether an ACK starts a round."""
        self.started = sample.newest.delivered >= self._next_round_delivered
        if self.started:
            self.start(delivered)
            self.since_bw_probe += 1


class MaxBandwidth:
    """The highest delivery rate of the last two ProbeBW cycles (5.5.2 to 5.5.6)."""

    def __init__(self) -> None:
        self.value = 0.0
        self._cycles = deque([0.0], maxlen=MAX_BW_FILTER_LEN)

    def update(self, sample: RateSample) -> None:
        """Take a sample. One that the application limited can only raise the value."""
        if sample.delivery_rate >= self.value or not sample.newest.app_limited:
            self._cycles[-1] = max(self._cycles[-1], sample.delivery_rate)
            self.value = max(self._cycles)

    def advance(self) -> None:
        """Start a cycle."""
        self._cycles.append(0.0)


class MinRtt:
    """The shortest round-trip time, and when ProbeRTT is due (5.3.4.3)."""

    def __init__(self) -> None:
        self.value = math.inf
        """The shortest of the last `MIN_RTT_FILTER_LEN`."""
        self.latest = 0.0
        """The last sample."""
        self.probe_due = False
        """Whether no sample was a new minimum for `PROBE_RTT_INTERVAL`."""
        self._stamp = self._probe_stamp = self._probe_value = math.inf

    def update(self, rtt: float, now: float) -> None:
        """Take a sample."""
        self.latest = rtt
        self.probe_due = now > self._probe_stamp + PROBE_RTT_INTERVAL
        if rtt < self._probe_value or self.probe_due:
            self._probe_value, self._probe_stamp = rtt, now
        if self._probe_value < self.value or now > self._stamp + MIN_RTT_FILTER_LEN:
            self.value, self._stamp = self._probe_value, self._probe_stamp

    def on_probed(self, now: float) -> None:
        """Schedule the next ProbeRTT: one has just ended."""
        self.probe_due = False
        self._probe_stamp = now


class FullBandwidth:
    """Whether faster sending still raises the delivery rate (5.3.1.2)."""

    def __init__(self) -> None:
        self.reached = False
        """Whether the path has ever been full."""
        self.now = False
        """Whether the path is full since the last reset."""
        self._bw = 0.0
        self._rounds = 0

    def reset(self, bw: float) -> None:
        """Look for growth beyond `bw` again."""
        self.now = False
        self._bw = bw
        self._rounds = 0

    def update(self, sample: RateSample, *, round_started: bool) -> None:
        """Take a sample."""
        if self.now or not round_started or sample.newest.app_limited or not sample.delivery_rate:
            return
        if sample.delivery_rate >= self._bw * FULL_BW_GROWTH:
            self.reset(sample.delivery_rate)
            return
        self._rounds += 1
        self.now = self._rounds >= FULL_BW_ROUNDS
        self.reached |= self.now


class CongestionSignals:
    """Losses and deliveries of a round, and the short-term bounds they lead to (5.5.10.3)."""

    def __init__(self) -> None:
        self.bw_shortterm = math.inf
        """Bound on the rate until the next bandwidth probe."""
        self.inflight_shortterm = math.inf
        """Bound on the bytes in flight until the next bandwidth probe."""
        self.loss_in_round = False
        """Whether a packet was lost in this round."""
        self._bw_latest = 0.0
        self._inflight_latest = 0

    def update(self, sample: RateSample) -> None:
        """Take a sample of this round."""
        self._bw_latest = max(self._bw_latest, sample.delivery_rate)
        self._inflight_latest = max(self._inflight_latest, sample.delivered)

    def adapt(self, max_bw: float, cwnd: int) -> None:
        """Lower the short-term bounds at the end of a round with losses."""
        if self.loss_in_round:
            self.bw_shortterm = max(self._bw_latest, BETA * min(self.bw_shortterm, max_bw))
            inflight = min(self.inflight_shortterm, cwnd)
            self.inflight_shortterm = max(self._inflight_latest, BETA * inflight)

    def reset(self) -> None:
        """Drop the signals of this round."""
        self.loss_in_round = False
        self._bw_latest = 0.0
        self._inflight_latest = 0

    def reset_bounds(self) -> None:
        """Lift the short-term bounds."""
        self.bw_shortterm = self.inflight_shortterm = math.inf


# The state machine (5.1)


class BbrState(Enum):
    """A state of `Bbr` (5.1)."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_BW_DOWN = "probe_bw_down"
    PROBE_BW_CRUISE = "probe_bw_cruise"
    PROBE_BW_REFILL = "probe_bw_refill"
    PROBE_BW_UP = "probe_bw_up"
    PROBE_RTT = "probe_rtt"


PROBE_BW_STATES = frozenset(BbrState) - {BbrState.STARTUP, BbrState.DRAIN, BbrState.PROBE_RTT}
"""The states of ProbeBW."""

ACCELERATING_STATES = frozenset({BbrState.STARTUP, BbrState.PROBE_BW_REFILL, BbrState.PROBE_BW_UP})
"""The states that look for more bandwidth."""

WAITING_STATES = PROBE_BW_STATES - ACCELERATING_STATES
"""The states that a bandwidth probe interrupts."""

PACING_GAINS = {
    BbrState.STARTUP: STARTUP_PACING_GAIN,
    BbrState.DRAIN: DRAIN_PACING_GAIN,
    BbrState.PROBE_BW_DOWN: PROBE_BW_DOWN_PACING_GAIN,
    BbrState.PROBE_BW_UP: PROBE_BW_UP_PACING_GAIN,
}
"""Pacing gain of each state; 1 in the others (5.6.1)."""

CWND_GAINS = {BbrState.PROBE_BW_UP: PROBE_BW_UP_CWND_GAIN, BbrState.PROBE_RTT: PROBE_RTT_CWND_GAIN}
"""Window gain of each state; `DEFAULT_CWND_GAIN` in the others (5.6.1)."""


class Bbr(QuicCongestionControl):
    """BBR on one path.

    aioquic calls the `on_packet...` methods. `on_ack_end` follows when all effects of an ACK frame
    are known, and `on_app_limited` when there is less to send than the window allows.
    """

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.state = BbrState.STARTUP
        self.pacing_rate: float | None = None
        """Bytes per second; None before the first round-trip time."""
        self._max_datagram_size = max_datagram_size  # aioquic's cubic and reno have it too
        self._initial_cwnd = K_INITIAL_WINDOW * max_datagram_size
        self._packet_states: dict[int, PacketState] = {}  # by the packet's identity
        self._sampler = DeliveryRateSampler()
        self._rounds = Rounds()
        self._max_bw = MaxBandwidth()
        self._min_rtt = MinRtt()
        self._full_bw = FullBandwidth()
        self._signals = CongestionSignals()
        self._inflight_longterm = math.inf  # bytes in flight that lost too much in a probe
        self._bw_probe_samples = False  # packets of a bandwidth probe are being acknowledged
        self._bw_probe_stopping = False  # ... the last of them
        self._bw_probe_at = 0.0
        self._prior_cwnd = 0  # before ProbeRTT
        self._probe_rtt_done_stamp: float | None = None
        self._idle_restart = False

    # Calls of aioquic

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        """Record the state of the connection with the packet (5.2.2)."""
        assert packet.sent_time is not None  # it is being sent
        # Idle time drains the queue as ProbeRTT does, so the next ACK does not start one (5.4.1).
        self._idle_restart |= not self.bytes_in_flight and self._sampler.is_app_limited
        state = self._sampler.on_sent(packet.sent_bytes, self.bytes_in_flight, packet.sent_time)
        self._packet_states[id(packet)] = state
        self.bytes_in_flight += packet.sent_bytes

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        """Count a delivered packet."""
        self.bytes_in_flight -= packet.sent_bytes
        state = self._packet_states.pop(id(packet), None)
        if state is not None:
            self._sampler.on_acked(state, packet.sent_bytes, now)

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        """Drop packets that count neither as delivered nor as lost."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            self._packet_states.pop(id(packet), None)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        """Note losses, and end a bandwidth probe that loses too much (5.5.10.2)."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            state = self._packet_states.pop(id(packet), None)
            if state is not None:
                self._sampler.lost += packet.sent_bytes
                self._signals.loss_in_round = True
                self._check_probe_loss(state, self._sampler.lost - state.lost, now)

    def on_persistent_congestion(self) -> None:
        """Restart with the smallest window (RFC 9002, 7.6.2)."""
        self.congestion_window = self._min_pipe_cwnd

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Take a round-trip time (4.2)."""
        self._min_rtt.update(rtt, now)
        if self.pacing_rate is None:
            self.pacing_rate = STARTUP_PACING_GAIN * self._initial_cwnd / max(rtt, 0.001)

    # Calls of `Recovery`

    def on_ack_end(self, now: float) -> None:
        """Update the model, the state and the output at the end of an ACK (5.2.3)."""
        sample = self._sampler.take_sample(self._min_rtt.value)
        if sample is None:
            return
        self._signals.update(sample)
        self._rounds.update(sample, self._sampler.delivered)
        self._max_bw.update(sample)
        if self._rounds.started and self.state not in ACCELERATING_STATES:
            self._signals.adapt(self._max_bw.value, self.congestion_window)
        self._full_bw.update(sample, round_started=self._rounds.started)
        if self.state is BbrState.STARTUP:
            self._check_startup_done(sample)
        if self.state is BbrState.DRAIN and self.bytes_in_flight <= self._inflight(self._bw):
            self._enter_down(now)
        if self._full_bw.reached:
            self._update_probe_bw(sample, now)
        self._check_probe_rtt(now)
        if self._rounds.started:
            self._signals.reset()
            self._signals.update(sample)
        self._set_pacing_rate()
        self._set_cwnd(sample)

    def on_app_limited(self) -> None:
        """Mark what is in flight as limited by the application."""
        if self.bytes_in_flight < self.congestion_window:
            self._sampler.mark_app_limited(self.bytes_in_flight)

    # Sizes (5.6.4.2)

    @property
    def _bw(self) -> float:
        return min(self._max_bw.value, self._signals.bw_shortterm)

    @property
    def _min_pipe_cwnd(self) -> int:
        return MIN_PIPE_CWND_PACKETS * self._max_datagram_size

    def _inflight(self, bw: float, gain: float = 1.0) -> float:
        """Return a multiple of the bandwidth-delay product."""
        if self._min_rtt.value == math.inf:
            return self._initial_cwnd
        return max(gain * bw * max(self._min_rtt.value, ACK_TIME), self._min_pipe_cwnd)

    def _inflight_with_headroom(self) -> float:
        """Return the long-term bound minus the headroom for other flows (5.3.3.6)."""
        return max((1 - HEADROOM) * self._inflight_longterm, self._min_pipe_cwnd)

    def _target_inflight(self) -> float:
        return min(self._inflight(self._bw), self.congestion_window)

    # Startup (5.3.1)

    def _check_startup_done(self, sample: RateSample) -> None:
        floor = STARTUP_FULL_LOSS_COUNT * self._max_datagram_size
        too_many = max(LOSS_THRESH * sample.newest.in_flight, floor)
        self._full_bw.reached |= self._rounds.started and sample.lost > too_many
        if self._full_bw.reached:
            self.state = BbrState.DRAIN

    # ProbeBW (5.3.3)

    def _update_probe_bw(self, sample: RateSample, now: float) -> None:
        if self._bw_probe_stopping and self._rounds.started:
            self._bw_probe_stopping = self._bw_probe_samples = False
            if self.state in PROBE_BW_STATES and not sample.newest.app_limited:
                self._max_bw.advance()
        self._check_probe_loss(sample.newest, sample.lost, now)
        if self.state is BbrState.PROBE_BW_REFILL and self._rounds.started:
            self._bw_probe_samples = True
            self._inflight_longterm = math.inf
            self._full_bw.reset(sample.delivery_rate)
            self._enter(BbrState.PROBE_BW_UP)
        elif self.state is BbrState.PROBE_BW_UP and self._full_bw.now:
            self._enter_down(now)
        elif self.state in WAITING_STATES and self._is_time_to_probe(now):
            self._bw_probe_stopping = False
            self._signals.reset_bounds()
            self._enter(BbrState.PROBE_BW_REFILL)
        elif self.state is BbrState.PROBE_BW_DOWN and self.bytes_in_flight <= min(
            self._inflight_with_headroom(), self._inflight(self._max_bw.value)
        ):
            self.state = BbrState.PROBE_BW_CRUISE

    def _check_probe_loss(self, packet: PacketState, lost: int, now: float) -> None:
        """End a bandwidth probe if too much was lost since `packet` was sent (5.5.10.2)."""
        if not self._bw_probe_samples or lost <= LOSS_THRESH * packet.in_flight:
            return
        self._bw_probe_samples = False
        if not packet.app_limited:
            self._inflight_longterm = max(packet.in_flight, BETA * self._target_inflight())
        if self.state is BbrState.PROBE_BW_UP:
            self._enter_down(now)

    def _is_time_to_probe(self, now: float) -> bool:
        reno_rounds = self._target_inflight() / self._max_datagram_size
        is_round = self._rounds.since_bw_probe >= min(reno_rounds, BW_PROBE_MAX_ROUNDS)
        return is_round or now > self._bw_probe_at

    def _enter_down(self, now: float) -> None:
        # Seeded, so that links probe at different times and a run in virtual time is repeatable.
        rng = random.Random(f"{now} {self._sampler.delivered}")
        self._rounds.since_bw_probe = rng.randrange(2)
        self._bw_probe_at = now + rng.uniform(*BW_PROBE_WAIT)
        self._bw_probe_stopping = True
        self._signals.reset()
        self._enter(BbrState.PROBE_BW_DOWN)

    def _enter(self, state: BbrState) -> None:
        """Enter a state, and start a round with it."""
        self.state = state
        self._rounds.start(self._sampler.delivered)

    # ProbeRTT (5.3.4)

    def _check_probe_rtt(self, now: float) -> None:
        is_due = self._min_rtt.probe_due and not self._idle_restart
        if self.state is not BbrState.PROBE_RTT and is_due:
            self._prior_cwnd = self.congestion_window
            self._probe_rtt_done_stamp = None
            self._bw_probe_stopping = True
            self._enter(BbrState.PROBE_RTT)
        self._idle_restart = False
        if self.state is not BbrState.PROBE_RTT:
            return
        self._sampler.mark_app_limited(self.bytes_in_flight)
        if self._probe_rtt_done_stamp is None:
            if self.bytes_in_flight <= self._inflight(self._bw, PROBE_RTT_CWND_GAIN):
                self._probe_rtt_done_stamp = now + PROBE_RTT_DURATION
                self._rounds.start(self._sampler.delivered)
        elif self._rounds.started and now > self._probe_rtt_done_stamp:
            self._min_rtt.on_probed(now)
            self.congestion_window = max(self.congestion_window, self._prior_cwnd)
            self._signals.reset_bounds()
            self.state = BbrState.STARTUP
            if self._full_bw.reached:
                self._enter_down(now)
                self.state = BbrState.PROBE_BW_CRUISE

    # Pacing rate and window (5.6)

    def _set_pacing_rate(self) -> None:
        rate = PACING_GAINS.get(self.state, 1.0) * self._bw * (1 - PACING_MARGIN)
        rate = max(rate, self._min_pipe_cwnd / max(self._min_rtt.latest, 0.001))
        if self._full_bw.reached or rate > (self.pacing_rate or 0.0):
            self.pacing_rate = rate

    def _set_cwnd(self, sample: RateSample) -> None:
        max_inflight = self._inflight(self._bw, CWND_GAINS.get(self.state, DEFAULT_CWND_GAIN))
        cwnd: float = self.congestion_window
        if self._full_bw.reached or self.state is BbrState.PROBE_RTT:
            cwnd = min(cwnd + sample.newly_acked, max_inflight)
        elif cwnd < max_inflight or self._sampler.delivered < self._initial_cwnd:
            cwnd += sample.newly_acked
        cap = self._signals.inflight_shortterm
        if self.state in (BbrState.PROBE_RTT, BbrState.PROBE_BW_CRUISE):
            cap = min(cap, self._inflight_with_headroom())
        elif self.state in PROBE_BW_STATES:
            cap = min(cap, self._inflight_longterm)
        self.congestion_window = int(max(min(cwnd, cap), self._min_pipe_cwnd))


register_congestion_control("bbr", Bbr)


# Pacing (5.6.2; RFC 9002, 7.7)


class Pacer(QuicPacketPacer):
    """A token bucket in bytes.

    It is filled at the rate of the congestion control, or at a rate derived from its window.
    aioquic's own pacer, which it replaces, counts datagrams.
    """

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.max_datagram_size = max_datagram_size
        self.rate = 0.0
        """Bytes per second; 0 before the first round-trip time, when nothing is paced."""
        self._follows_window = True
        self._tokens = math.inf
        self._filled_at = -math.inf

    def next_send_time(self, now: float) -> float | None:  # type: ignore[override]  # may be None in aioquic too
        """Return when the next datagram may leave; None means now."""
        self._fill(now)
        if self._tokens > 0:
            return None
        return now + (self.max_datagram_size - self._tokens) / self.rate

    def update_after_send(self, now: float, size: int | None = None) -> None:
        """Take the tokens of `size` bytes. aioquic's own packets, mostly ACKs, are not paced."""
        self._fill(now)
        self._tokens -= size or 0

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """Derive the rate from a window, unless `set_rate` has set one."""
        if self._follows_window:
            self.rate = WINDOW_PACING_GAIN * congestion_window / max(smoothed_rtt, 1e-6)

    def set_rate(self, rate: float) -> None:
        """Use this rate from now on, whatever the window is."""
        self._follows_window = False
        self.rate = rate

    def _fill(self, now: float) -> None:
        if self.rate and now > self._filled_at:
            capacity = max(BURST_DATAGRAMS * self.max_datagram_size, BURST_TIME * self.rate)
            grown = self._tokens + (now - self._filled_at) * self.rate
            self._tokens = min(grown, capacity)
            self._filled_at = now
