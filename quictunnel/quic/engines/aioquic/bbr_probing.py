"""What BBR does once it has found a path's rate: to keep to it, to try more, to see the path empty.

From draft-ietf-ccwg-bbr-04, sections 5.3.3 ("ProbeBW"), 5.3.4 ("ProbeRTT") and 5.5.10.2. How it
gets there is in `bbr_startup`; what follows for what is sent, in `bbr`.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from quictunnel.quic.engines.aioquic.bbr_model import BETA
from quictunnel.quic.engines.aioquic.bbr_round_trips import WAITING
from quictunnel.quic.engines.aioquic.bbr_startup import (
    PROBE_RTT_GAIN,
    UP_GAIN,
    Startup,
    State,
)

if TYPE_CHECKING:
    from quictunnel.quic.engines.aioquic.delivery import Departure, Sample

PROBE_RTT_SECONDS = 0.2
"""How long little is in flight for the round-trip time to show (2.14)."""

PROBE_WAIT = (2.0, 3.0)
"""Seconds between probes for more (5.3.3.5.2), ..."""

PROBE_ROUNDS = 63
"""... and rounds at most, so that Reno beside it gets its share."""


class Probing(Startup):
    """What is done on one path after startup."""

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
            elif self._has_found_all(now):
                self._go_down(now)
        elif self._is_time_to_probe(now):
            self._refill()
        elif self._state is State.DOWN and self.bytes_in_flight <= min(
            self._with_headroom(), self._inflight(1.0, model.max_bw)
        ):
            self._state = State.CRUISE

    def _has_found_all(self, now: float) -> bool:
        """Return whether there is no more to be had.

        Where packets wait for nothing there is: the rate, which is that of whole rounds, grows in
        every other one at most, and three that do not grow, with which the draft ends (5.3.3.4),
        say little. Where they wait it need not come to those: version 2 went by what is in flight
        (draft-cardwell-iccrg-bbr-congestion-control-02, 4.3.3.6), and queues are short by that for
        those who wait behind a probe.
        """
        model = self._model
        if model.trips.waiting <= WAITING:
            return False
        too_many = self._inflight(UP_GAIN, model.max_bw) + model.extra_acked
        has_begun = now > self._up_since + model.trips.least
        return self._full_now or (has_begun and self.bytes_in_flight > too_many)

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
            self._model.rates.advance_cycle()
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
        if self._state is not State.PROBE_RTT and model.trips.is_stale and not self._idle_restart:
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
        self._model.trips.was_probed(now)
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
