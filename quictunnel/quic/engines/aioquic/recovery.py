"""Loss recovery (RFC 9002): aioquic's, plus what a long-lived connection that moves needs of it.

Congestion control is `congestion`'s BBR, or aioquic's own cubic or Reno.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Any

from aioquic.quic.congestion.base import create_congestion_control
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.recovery import QuicPacketRecovery

from quictunnel.quic.engines.aioquic.congestion import Bbr, Pacer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.packet_builder import QuicSentPacket
    from aioquic.quic.rangeset import RangeSet
    from aioquic.quic.recovery import QuicPacketSpace

    from quictunnel.quic.engines.aioquic.qlog import Recording

PACKET_THRESHOLD = 14
"""Packets that may overtake another one before it counts as lost. RFC 9002, 6.1.1 recommends 3, but
mobile networks reorder more."""

TIME_THRESHOLD = 9 / 8
"""Round trips after which a packet that was overtaken counts as lost (RFC 9002, 6.1.2)."""

ACKS_MAX = 256
"""Packets remembered that hold only ACKs. A peer that only pings never acknowledges them."""


class Recovery(QuicPacketRecovery):
    """aioquic's recovery. It starts over on a new path, bounds its memory and keeps statistics.

    :param send_probe: called when a probe must be sent.
    :param recording: records metrics and losses; None for no recording.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        *,
        send_probe: Callable[[], None],
        recording: Recording | None = None,
    ) -> None:
        self._algorithm = configuration.congestion_control_algorithm
        size = configuration.max_datagram_size
        super().__init__(
            congestion_control_algorithm=self._algorithm,
            initial_rtt=configuration.initial_rtt,
            max_datagram_size=size,
            peer_completed_address_validation=not configuration.is_client,
            quic_logger=recording,
            send_probe=send_probe,
        )
        self._path_since = 0.0
        self._largest_sent = -1  # of all spaces: aioquic numbers their packets in one sequence
        self._acks: deque[tuple[QuicPacketSpace, int]] = deque()
        self.pacer = self._pacer = Pacer(max_datagram_size=size)
        self.answered_at = 0.0
        """When the peer last acknowledged an ack-eliciting packet."""
        self.packets_sent = 0
        self.packets_lost = 0
        self.bytes_lost = 0

    @property
    def smoothed_rtt(self) -> float | None:
        """The smoothed round-trip time in seconds; None before the first sample."""
        return self._rtt_smoothed if self._rtt_initialized else None

    @property
    def timeouts(self) -> int:
        """Probe timeouts since the last acknowledgement."""
        return self._pto_count

    @property
    def is_window_full(self) -> bool:
        """Whether only a probe may be sent, which may exceed the window (RFC 9002, 7.5)."""
        return self.congestion_window - self.bytes_in_flight < self.pacer.max_datagram_size

    def set_max_datagram_size(self, size: int) -> None:
        """Use datagrams of `size` bytes from now on."""
        self.pacer.max_datagram_size = size
        self._cc._max_datagram_size = size  # type: ignore[attr-defined]  # all controls have it

    def start_path(self, now: float, *, datagram_size: int) -> None:
        """Start as on a new connection (RFC 9000, 9.4): nothing is known of the path.

        Packets in flight count as such until they are acknowledged or lost. Their round-trip times
        are not sampled: after an outage they would be as long as the outage.
        """
        in_flight = self.bytes_in_flight
        self._cc = create_congestion_control(self._algorithm, max_datagram_size=datagram_size)
        self._cc.bytes_in_flight = in_flight
        if not isinstance(self._cc, Bbr):
            self._cc._congestion_recovery_start_time = now  # type: ignore[attr-defined]  # reno and cubic have it
        self.pacer = self._pacer = Pacer(max_datagram_size=datagram_size)
        self._rtt_initialized = False
        self._rtt_min = math.inf
        self._path_since = now

    def probe(self, now: float) -> None:
        """Probe now and reset the back-off of the probe timeout (RFC 9002, 6.2.1)."""
        self._pto_count = 0
        self.reschedule_data(now=now)

    def on_app_limited(self) -> None:
        """Note that there is less to send than the path could carry."""
        if isinstance(self._cc, Bbr):
            self._cc.on_app_limited()

    def on_packet_sent(self, *, packet: QuicSentPacket, space: QuicPacketSpace) -> None:
        """Note that a packet was sent. A probe of the MTU arms the timer like any other packet."""
        assert packet.sent_time is not None
        self.packets_sent += 1
        self._largest_sent = packet.packet_number
        super().on_packet_sent(packet=packet, space=space)
        if packet.in_flight:
            return
        if packet.is_ack_eliciting:
            self._time_of_last_sent_ack_eliciting_packet = packet.sent_time
        else:
            self._acks.append((space, packet.packet_number))
            if len(self._acks) > ACKS_MAX:
                self._forget(*self._acks.popleft())

    def _forget(self, space: QuicPacketSpace, number: int) -> None:
        packet = space.sent_packets.pop(number, None)
        if packet is None:
            return
        space.ack_eliciting_in_flight -= packet.is_ack_eliciting
        if packet.in_flight:
            self._cc.on_packets_expired(packets=[packet])

    def on_ack_received(
        self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace
    ) -> None:
        """Handle an ACK frame (RFC 9002, A.7).

        :raises QuicConnectionError: it acknowledges a packet that was never sent (RFC 9000, 13.1).
        """
        if ack_rangeset.bounds().stop - 1 > self._largest_sent:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, QuicFrameType.ACK, "ACK of a packet never sent"
            )
        unanswered = space.ack_eliciting_in_flight
        self._remove_acked_of_old_path(ack_rangeset, space)
        super().on_ack_received(
            ack_rangeset=ack_rangeset, ack_delay=ack_delay, now=now, space=space
        )
        if space.ack_eliciting_in_flight < unanswered:
            self.answered_at = now
        if isinstance(self._cc, Bbr):
            self._cc.on_ack_end(now)
            if self._cc.pacing_rate is not None:
                self.pacer.set_rate(self._cc.pacing_rate)

    def _remove_acked_of_old_path(self, ack_rangeset: RangeSet, space: QuicPacketSpace) -> None:
        """Keep the acknowledgements of packets sent on the old path from congestion control."""
        old = []
        for number, packet in space.sent_packets.items():
            if packet.sent_time is None or packet.sent_time >= self._path_since:
                break
            old.append(number)
        for acked in ack_rangeset if old else ():  # the peer chooses how many there are
            for number in old[bisect_left(old, acked.start) : bisect_left(old, acked.stop)]:
                packet = space.sent_packets[number]
                self._forget(space, number)
                for handler, arguments in packet.delivery_handlers:
                    handler(QuicDeliveryState.ACKED, *arguments)

    def _detect_loss(self, *, now: float, space: QuicPacketSpace) -> None:
        """Declare packets lost (RFC 9002, 6.1), as aioquic does but for the packet threshold."""
        rtt = self._rtt_initial
        if self._rtt_initialized:
            rtt = max(self._rtt_latest, self._rtt_smoothed)
        lost = []
        space.loss_time = None
        for number, packet in space.sent_packets.items():
            if number > space.largest_acked_packet:
                break
            due = (packet.sent_time or 0.0) + TIME_THRESHOLD * rtt
            if number <= space.largest_acked_packet - PACKET_THRESHOLD or due <= now:
                lost.append(packet)
            elif space.loss_time is None or due < space.loss_time:
                space.loss_time = due
        persistent = self._in_persistent_congestion(packets=lost)
        self._on_packets_lost(now=now, packets=lost, persistent_congestion=persistent, space=space)

    def _on_packets_lost(self, *, packets: Iterable[QuicSentPacket], **arguments: Any) -> None:  # noqa: ANN401 - aioquic's own
        packets = list(packets)
        if arguments.get("congestion_event", True):
            lost = [packet.sent_bytes for packet in packets if packet.in_flight]
            self.packets_lost += len(lost)
            self.bytes_lost += sum(lost)
        super()._on_packets_lost(packets=packets, **arguments)
