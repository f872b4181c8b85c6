"""BBR's model of a path: how much it carries, how far it is, and what losses say of it.

From draft-ietf-ccwg-bbr-04, section 5.5 ("Updating the Model"). What to do about it is for `bbr`,
what was delivered for `bbr_rates`, how far the path is for `bbr_round_trips`, how much loss is too
much for `bbr_losses`, and how much is left to others for `bbr_yielding`. Sizes are bytes, rates
bytes a second, times seconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quictunnel.quic.engines.aioquic import bbr_yielding as yielding
from quictunnel.quic.engines.aioquic.bbr_losses import Losses
from quictunnel.quic.engines.aioquic.bbr_rates import Rates
from quictunnel.quic.engines.aioquic.bbr_round_trips import RoundTrips

if TYPE_CHECKING:
    from quictunnel.quic.engines.aioquic.delivery import Departure, Sample

BETA = 0.7
"""What is left of the estimates after a round of congestion (2.7, BBR.Beta)."""

EXTRA_ACKED_ROUNDS = 10
"""Rounds over which bursts of acknowledgements are remembered (2.11, BBR.ExtraAckedFilterLen)."""


class Model:
    """What is known of the path (2.8 to 2.14)."""

    def __init__(self, now: float) -> None:
        self.round_count = 0
        self.round_start = False
        """The acknowledgement at hand begins a round trip."""
        self._round_ends_at = 0  # bytes delivered
        self.rates = Rates()
        self.trips = RoundTrips(now)
        self.bw_short = math.inf
        """What the rate fell to since the last probe for more (BBR.bw_shortterm)."""
        self.inflight_short = math.inf
        self.inflight_long = math.inf
        """Bytes in flight that have been too many (BBR.inflight_longterm)."""
        self.extra_acked = 0
        self._extra_since = now
        self._extra_delivered = 0
        self._extra_rounds: list[tuple[int, int]] = []  # round and bytes, falling
        self._inflight_latest = 0
        self._congested_in_round = False
        self._loss_round_ends_at = 0
        self._loss_round_start = False
        self.yielding = yielding.Yielding()
        self._round_rtt = math.inf  # the least of this round
        self.losses = Losses()
        self._before = (math.inf, math.inf, math.inf)

    @property
    def bw(self) -> float:
        """The rate that the path is taken to deliver."""
        return min(self.max_bw, self.bw_short)

    @property
    def max_bw(self) -> float:
        """The best rate of late."""
        return self.rates.best

    @property
    def inflight_latest(self) -> int:
        """Bytes that were delivered in the last round."""
        return self._inflight_latest

    def bdp(self, bw: float, gain: float) -> float | None:
        """Return how many bytes fill the path, times `gain`; None before there is an RTT."""
        return None if self.trips.least == math.inf else gain * bw * self.trips.least

    # Round trips and rates

    def add_round_trip(self, rtt: float, now: float) -> None:
        """Take a round-trip time (5.3.4.4)."""
        self.trips.add(rtt, now)
        self._round_rtt = min(self._round_rtt, rtt)

    def start_round(self, delivered: int) -> None:
        """Let a round trip begin now (5.5.1)."""
        self._round_ends_at = delivered

    def update_rate(
        self,
        sample: Sample,
        delivered: int,
        now: float,
        *,
        may_lower: bool,
        keeping: bool,
        cruising: bool,
    ) -> None:
        """Take a sample: of rounds, the rate, and what the losses of the last round say (5.5.5).

        :param delivered: all bytes so far.
        :param may_lower: congestion makes the estimates fall; not while more is being probed for.
        :param keeping: no more is sent than was delivered, ...
        :param cruising: ... nor less.
        """
        self._inflight_latest = max(self._inflight_latest, sample.delivered)
        before = sample.newest.delivered
        self._loss_round_start = before >= self._loss_round_ends_at
        if self._loss_round_start:
            self._loss_round_ends_at = delivered
        self.round_start = before >= self._round_ends_at
        if self.round_start:
            self._round_ends_at = delivered
            self.round_count += 1
            self.rates.end_round(now)
        self.rates.add(sample.rate, app_limited=sample.newest.app_limited)
        if sample.newly_lost and may_lower:
            self._congested_in_round |= self.is_too_high(sample.lost, sample.newest)
        if self.round_start:
            self._make_room(keeping=keeping, cruising=cruising)
        if self._loss_round_start:
            if self._congested_in_round and may_lower:
                self._lower()
            self._congested_in_round = False
            if not self._sees_queue():
                self.losses.add_round(sample.lost, sample.newest.in_flight)

    def end_update(self, sample: Sample) -> None:
        """Begin the next round's signals, when all have seen the last one's (5.5.10)."""
        if self._loss_round_start:
            self.rates.begin_latest(sample.rate)
            self._inflight_latest = sample.delivered

    # Congestion

    def is_too_high(self, lost: int, packet: Departure) -> bool:
        """Return whether so many bytes were lost of what flew with a packet as to say: too much."""
        return self.losses.are_too_many(lost, packet.in_flight, queued=self._sees_queue())

    def _sees_queue(self) -> bool:
        return self.trips.show_queue(self.trips.latest)

    def reset_signals(self) -> None:
        """Forget what this round has said of congestion so far (5.5.10)."""
        self._congested_in_round = False
        self._inflight_latest = 0

    def reset_short(self) -> None:
        """Forget what congestion has taken since the last probe for more (5.5.10)."""
        self.bw_short = math.inf
        self.inflight_short = math.inf

    def bound(self, in_flight: float) -> None:
        """Take so many bytes in flight for too many (5.5.10.2)."""
        self._remember()
        self.inflight_long = in_flight

    def _remember(self) -> None:
        self._before = (self.bw_short, self.inflight_short, self.inflight_long)

    def _lower(self) -> None:
        """Take less, but no less than has just been delivered (5.5.10.3)."""
        self._remember()
        if not self.rates.latest:
            return  # all came too close together for a rate
        bw = self.max_bw if self.bw_short == math.inf else self.bw_short
        self.bw_short = max(self.rates.latest, BETA * bw)
        inflight = self.inflight_short
        if inflight == math.inf:
            inflight = self.bdp(self.max_bw, 1.0) or 0.0
        self.inflight_short = max(self._inflight_latest, BETA * inflight)

    def _make_room(self, *, keeping: bool, cruising: bool) -> None:
        """Yield where a queue stays, or take back some of the rate."""
        queued = self._round_rtt < math.inf and self.trips.show_queue(self._round_rtt)
        queue = self._round_rtt / self.trips.least - 1.0 if queued else 0.0
        held = self.bdp(self.rates.latest, 1.0) or 0.0
        part = self.yielding.part(queue, held, keeping=keeping, cruising=cruising)
        if part:
            kept = max((1.0 - part) * self.bw, yielding.LEAST * self.max_bw)
            self.bw_short = min(self.bw_short, kept)
        rtt = self.trips.least
        if cruising and not queued and self.bw_short < self.max_bw and rtt < math.inf:
            # No more than was given up: what losses take next is a part of it.
            more = yielding.more(self.bw_short, rtt)
            self.bw_short = min(self.bw_short + more, self.max_bw)
        self._round_rtt = math.inf

    def undo_losses(self) -> None:
        """Take as much as before the last round of congestion: it was none."""
        self._congested_in_round = False
        bw_short, inflight_short, inflight_long = self._before
        self.bw_short = max(self.bw_short, bw_short)
        self.inflight_short = max(self.inflight_short, inflight_short)
        self.inflight_long = max(self.inflight_long, inflight_long)

    # Bursts of acknowledgements

    def restart_extra_acked(self, now: float) -> None:
        """Begin a new interval of acknowledgements: nothing was sent (5.4.1)."""
        self._extra_since = now
        self._extra_delivered = 0

    def update_extra_acked(self, acked: int, window: int, now: float) -> None:
        """Take note of acknowledgements that come in bursts (5.5.9).

        Bursts are what goes beyond the path's rate, not beyond what congestion or others have left
        of it, as in the draft: while a queue goes, more is delivered than is sent.
        """
        expected = self.max_bw * (now - self._extra_since)
        if self._extra_delivered <= expected:
            self._extra_delivered = 0
            self._extra_since = now
            expected = 0.0
        self._extra_delivered += acked
        extra = min(int(self._extra_delivered - expected), window)
        rounds = self._extra_rounds
        while rounds and rounds[-1][1] <= extra:
            rounds.pop()
        rounds.append((self.round_count, extra))
        if rounds[0][0] < self.round_count - EXTRA_ACKED_ROUNDS:
            rounds.pop(0)
        self.extra_acked = rounds[0][1]
