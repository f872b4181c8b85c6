"""BBR, version 3: how fast to send, and how much may be in flight, by a model of the path.

From draft-ietf-ccwg-bbr-04, section 5.6 ("Control Parameters"). The model is `bbr_model`, what is
tried in turns (5.3) is in `bbr_startup` and `bbr_probing`. Here is aioquic's congestion control
interface, and what `recovery` asks beyond it: a pacing rate, word of the end of each ACK, and of
there being less to send than could.

What the draft leaves to fast recovery of TCP (packet conservation) is not done: random loss would
keep a connection in recovery for ever, and the pacing rate follows the rate of delivery anyway.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aioquic.quic.congestion.base import register_congestion_control

from quictunnel.quic.engines.aioquic.bbr_model import Model
from quictunnel.quic.engines.aioquic.bbr_probing import Probing
from quictunnel.quic.engines.aioquic.bbr_startup import (
    GAINS,
    PROBE_BW,
    SEARCHING,
    STARTUP_GAIN,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aioquic.quic.packet_builder import QuicSentPacket

    from quictunnel.quic.engines.aioquic.delivery import Sample

MARGIN = 0.99
"""A hundredth less than the path delivers, so that a queue drains (2.4, PacingMarginPercent)."""


class Bbr(Probing):
    """The congestion control of one path."""

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
        self._model.add_round_trip(rtt, now)
        if self.pacing_rate is None:
            self.pacing_rate = STARTUP_GAIN * self._initial_window / max(rtt, 0.001)

    # What recovery tells beyond that

    def on_ack_end(self, now: float) -> None:
        """Do what follows from an ACK, when all that it says is known (5.2.3)."""
        model = self._model
        sample = self._rate.sample(model.trips.least if model.trips.least < math.inf else 0.0)
        if sample is None:
            return
        model.update_rate(
            sample,
            self._rate.delivered,
            now,
            may_lower=self._state not in SEARCHING and self._is_of_now(sample.newest),
            keeping=self._state in (State.DOWN, State.CRUISE),
            cruising=self._state is State.CRUISE,
        )
        if model.round_start:
            self._rounds_since_probe += 1
        model.update_extra_acked(sample.acked, self.congestion_window, now)
        self._check_full(sample)
        self._check_startup(sample, now)
        if self._full_reached:
            model.rates.end_startup()
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
            rate = max(rate, self._min_window / max(self._model.trips.latest, 0.001))
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
