"""Loss recovery (RFC 9002) where aioquic's own would cost too much or take too much for lost.

An acknowledgement costs as much as it acknowledges, not as much as there is in flight. Congestion
control is `bbr`, or aioquic's own cubic or Reno; when what it allows leaves is for `pacer`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from aioquic.quic.congestion.base import create_congestion_control
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.recovery import QuicPacketRecovery

from quictunnel.quic.engines.aioquic.congestion import Bbr, Pacer
from quictunnel.quic.engines.aioquic.reordering import Lost, Reordering

if TYPE_CHECKING:
    from aioquic.quic.packet_builder import QuicSentPacket
    from aioquic.quic.rangeset import RangeSet
    from aioquic.quic.recovery import QuicPacketSpace

UNANSWERABLE_MAX = 256
"""Packets remembered that need no answer (RFC 9000, 13.2.1): a peer that only asks, as one that
pings an idle link does, or one that means harm, acknowledges none of the answers, ever."""

QUESTIONS_MAX = 64
"""Packets remembered that only ask whether the peer is there: in a long silence there are thousands
of them, and an answer to one of the newest says all that there is to say."""

QUESTION_SIZE = 64
"""Bytes of such a packet at most."""


class Recovery(QuicPacketRecovery):
    """aioquic's recovery, with an `on_ack_received` that visits only what is acknowledged."""

    def __init__(
        self,
        *,
        congestion_control_algorithm: str,
        max_datagram_size: int,
        **arguments: Any,  # noqa: ANN401 - aioquic's own
    ) -> None:
        super().__init__(
            congestion_control_algorithm=congestion_control_algorithm,
            max_datagram_size=max_datagram_size,
            **arguments,
        )
        self._algorithm = congestion_control_algorithm
        self._path_since = 0.0  # what was sent before it says nothing of the path
        self._pacer: Pacer = Pacer(max_datagram_size=max_datagram_size)
        self._reordering = Reordering()
        self._undo: _Undo | None = None
        self._unanswerable: deque[tuple[QuicPacketSpace, int]] = deque()
        self._questions: deque[tuple[QuicPacketSpace, int]] = deque()
        self.answered_at = 0.0
        """When the peer last acknowledged what must be acknowledged."""
        self.lost_at = -math.inf
        """When a packet was last taken for lost, or an answer overdue."""

    @property
    def smoothed_rtt(self) -> float | None:
        """The smoothed round-trip time in seconds; None before the first sample."""
        return self._rtt_smoothed if self._rtt_initialized else None

    def set_max_datagram_size(self, size: int) -> None:
        """Go on with datagrams of `size` bytes: the path carries them."""
        self._pacer.max_datagram_size = size
        self._cc._max_datagram_size = size  # type: ignore[attr-defined]  # reno and cubic have it

    def meet_new_path(self, now: float, *, datagram_size: int) -> None:
        """Begin as on a new connection (RFC 9000, 9.4): of this path nothing is known.

        What is in flight stays so until it is acknowledged or lost.
        """
        in_flight = self._cc.bytes_in_flight
        self._cc = create_congestion_control(self._algorithm, max_datagram_size=datagram_size)
        self._cc.bytes_in_flight = in_flight
        if not isinstance(self._cc, Bbr):
            self._cc._congestion_recovery_start_time = now  # type: ignore[attr-defined]  # reno and cubic have it
        self._pacer = Pacer(max_datagram_size=datagram_size)
        self._rtt_initialized = False
        self._rtt_min = math.inf
        self._path_since = now
        self._reordering = Reordering()
        self._undo = None

    def on_app_limited(self) -> None:
        """There is less to send than could be sent."""
        if isinstance(self._cc, Bbr):
            self._cc.on_app_limited()

    def revive(self, now: float) -> None:
        """Probe now, whatever the back-off of the probe timer says (RFC 9002, 6.2.1)."""
        self._pto_count = 0
        self.reschedule_data(now=now)

    def reschedule_data(self, *, now: float, speed_up_handshake: bool = False) -> None:
        """Send again what no answer has come to; maybe it was lost."""
        self.lost_at = now
        super().reschedule_data(now=now, speed_up_handshake=speed_up_handshake)

    def on_packet_sent(self, *, packet: QuicSentPacket, space: QuicPacketSpace) -> None:
        """Take note of a packet that has left; a probe of the MTU arms the timer like any other."""
        assert packet.sent_time is not None  # it is being sent
        space.sent_packets[packet.packet_number] = packet
        if packet.is_ack_eliciting:
            space.ack_eliciting_in_flight += 1
            self._time_of_last_sent_ack_eliciting_packet = packet.sent_time
        if packet.in_flight:
            self._cc.on_packet_sent(packet=packet)
        elif not packet.is_ack_eliciting:
            self._unanswerable.append((space, packet.packet_number))
            if len(self._unanswerable) > UNANSWERABLE_MAX:
                self._forget(*self._unanswerable.popleft())
        if packet.sent_bytes <= QUESTION_SIZE and _only_asks(packet):
            self._questions.append((space, packet.packet_number))
            if len(self._questions) > QUESTIONS_MAX:
                self._forget(*self._questions.popleft())

    def _forget(self, space: QuicPacketSpace, number: int) -> None:
        """Wait no longer for the ACK of a packet: if it is still to come, it would tell nothing."""
        packet = space.sent_packets.pop(number, None)
        if packet is None:
            return
        space.ack_eliciting_in_flight -= packet.is_ack_eliciting
        if packet.in_flight:
            self._cc.on_packets_expired(packets=[packet])

    @property
    def is_window_full(self) -> bool:
        """Whether only a probe may leave, which goes beyond the window (RFC 9002, 7.5)."""
        room = self._cc.congestion_window - self._cc.bytes_in_flight
        return room < self._pacer.max_datagram_size

    def on_ack_received(
        self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace
    ) -> None:
        """Take an ACK frame (RFC 9002, A.7): what it acknowledges, the RTT, what is lost."""
        largest = ack_rangeset.bounds().stop - 1
        if self._reordering.lost and space.is_application_data:
            for late in _acknowledged(ack_rangeset, largest, self._reordering.lost):
                self._turn_up(late, space)
        space.largest_acked_packet = max(space.largest_acked_packet, largest)
        sent, congestion = space.sent_packets, self._cc
        acked = _acknowledged(ack_rangeset, largest, sent)
        if not acked:
            return
        eliciting = 0
        for packet in acked:
            del sent[packet.packet_number]
            eliciting += packet.is_ack_eliciting
            if packet.in_flight and self._is_of_this_path(packet):
                congestion.on_packet_acked(packet=packet, now=now)
            elif packet.in_flight:
                congestion.on_packets_expired(packets=[packet])
            for handler, args in packet.delivery_handlers:
                handler(QuicDeliveryState.ACKED, *args)
        space.ack_eliciting_in_flight -= eliciting
        if eliciting:
            self.answered_at = now
        newest = acked[-1]
        if eliciting and newest.packet_number == largest and self._is_of_this_path(newest):
            assert newest.sent_time is not None  # it was sent, or it would not be here
            self._sample_rtt(now - newest.sent_time, ack_delay, now)
        self._detect_loss(now=now, space=space)
        if isinstance(self._cc, Bbr):
            self._cc.on_ack_end(now)
            if self._cc.pacing_rate is not None:
                self._pacer.set_rate(self._cc.pacing_rate, self._cc.congestion_window)
        if self.peer_completed_address_validation:
            self._pto_count = 0

    # Losses

    def _detect_loss(self, *, now: float, space: QuicPacketSpace) -> None:
        """Declare lost what was overtaken by too many, or for too long (RFC 9002, 6.1)."""
        reordering = self._reordering
        rtt = max(self._rtt_latest, self._rtt_smoothed) if self._rtt_initialized else None
        delay = reordering.delay * (self._rtt_initial if rtt is None else rtt)
        largest = space.largest_acked_packet
        lost = []
        space.loss_time = None
        for number, packet in space.sent_packets.items():
            if number > largest:
                break
            assert packet.sent_time is not None  # it was sent, or it would not be here
            due = packet.sent_time + delay
            if number <= largest - reordering.packets or due <= now:
                lost.append(packet)
            elif space.loss_time is None or due < space.loss_time:
                space.loss_time = due
        if space.is_application_data:
            reordering.forget(now, rtt or self._rtt_initial)
            for packet in lost:
                if packet.in_flight and self._is_of_this_path(packet):
                    reordering.declare(Lost(packet.packet_number, packet.sent_bytes, now, largest))
                    self.lost_at = now
        before = self._cc.congestion_window, self._cc.ssthresh
        self._on_packets_lost(
            now=now,
            packets=lost,
            persistent_congestion=self._in_persistent_congestion(packets=lost),
            space=space,
        )
        if self._cc.congestion_window < before[0]:
            self._undo = _Undo(*before, {packet.packet_number for packet in lost})
        elif self._undo is not None:
            self._undo.lost.update(packet.packet_number for packet in lost)

    def _turn_up(self, lost: Lost, space: QuicPacketSpace) -> None:
        """Take back what a loss has done that was none."""
        self._reordering.turn_up(lost, space.largest_acked_packet)
        if isinstance(self._cc, Bbr):
            self._cc.on_spurious_loss(lost.size)
        elif self._undo is not None:
            self._undo.lost.discard(lost.number)
            if not self._undo.lost:  # RFC 9438, 4.9: nothing was lost at all
                self._cc.congestion_window = max(self._cc.congestion_window, self._undo.window)
                self._cc.ssthresh = self._undo.ssthresh
                self._undo = None

    def _is_of_this_path(self, packet: QuicSentPacket) -> bool:
        return packet.sent_time is not None and packet.sent_time >= self._path_since

    def _sample_rtt(self, latest: float, ack_delay: float, now: float) -> None:
        """Update the estimate of the round-trip time (RFC 9002, 5)."""
        latest = max(latest, 1e-6)
        self._rtt_min = min(self._rtt_min, latest)
        adjusted = latest
        delay = min(ack_delay, self.max_ack_delay)
        if latest >= self._rtt_min + delay:
            adjusted -= delay
        self._rtt_latest = adjusted
        if not self._rtt_initialized:
            self._rtt_initialized = True
            self._rtt_first_sample_time = now
            self._rtt_smoothed = latest
            self._rtt_variance = latest / 2
        else:
            deviation = abs(self._rtt_smoothed - adjusted)
            self._rtt_variance += (deviation - self._rtt_variance) / 4
            self._rtt_smoothed += (adjusted - self._rtt_smoothed) / 8
        self._cc.on_rtt_measurement(now=now, rtt=latest)
        self._pacer.update_rate(
            congestion_window=self._cc.congestion_window, smoothed_rtt=self._rtt_smoothed
        )


@dataclass(slots=True)
class _Undo:
    """What there was before a congestion event."""

    window: int
    ssthresh: int | None
    lost: set[int]
    """What was lost since, by packet number, and has not turned up."""


_Sent = TypeVar("_Sent")


def _only_asks(packet: QuicSentPacket) -> bool:
    """Return whether a packet holds PING frames, and nothing that would have to be sent again."""
    handlers = [handler for handler, _ in packet.delivery_handlers]
    return bool(handlers) and all(
        getattr(handler, "__func__", None) is QuicConnection._on_ping_delivery
        for handler in handlers
    )


def _acknowledged(ranges: RangeSet, largest: int, sent: dict[int, _Sent]) -> list[_Sent]:
    """Return the packets that an ACK names, of those given by number, oldest first.

    Packets in flight are kept in the order they were sent in, so the walk ends at the largest
    number acknowledged: it passes what is acknowledged, and the few holes below it that are about
    to be declared lost. A peer that acknowledges ranges as wide as it likes makes it no longer.
    """
    found = []
    spans = iter(ranges)
    span = next(spans)
    start, stop = span.start, span.stop
    for number, packet in sent.items():
        if number > largest:
            break
        while number >= stop:
            span = next(spans, _BEYOND)
            start, stop = span.start, span.stop
        if number >= start:
            found.append(packet)
    return found


_BEYOND = range(2**62, 2**63)  # packet numbers end below it (RFC 9000, 12.3)
