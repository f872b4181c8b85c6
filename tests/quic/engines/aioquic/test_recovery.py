"""Loss recovery: aioquic's own, new paths, bounded memory and statistics."""

from __future__ import annotations

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.congestion.reno import RenoCongestionControl
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.tls import Epoch
from pair import Pair

from quictunnel.quic.engines.aioquic.congestion import Bbr
from quictunnel.quic.engines.aioquic.recovery import (
    ACKS_MAX,
    PACKET_THRESHOLD,
    TIME_THRESHOLD,
    Recovery,
)
from quictunnel.quic.settings import LinkSettings

SIZE = 1200
RTT = 0.05
CONTROLS = ["bbr", "cubic", "reno"]


class Trace:
    """One recovery, and what it has reported of each packet."""

    def __init__(self, congestion_control: str = "bbr") -> None:
        self.recovery = Recovery(
            QuicConfiguration(
                congestion_control_algorithm=congestion_control,
                is_client=False,
                max_datagram_size=SIZE,
            ),
            send_probe=lambda: self.reports.append(("PROBE", -1)),
        )
        self.recovery.handshake_confirmed = True
        self.space = QuicPacketSpace(is_application_data=True)
        self.recovery.spaces = [self.space]
        self.reports: list[tuple[str, int]] = []

    def send(
        self,
        number: int,
        now: float,
        *,
        eliciting: bool = True,
        in_flight: bool = True,
    ) -> None:
        packet = QuicSentPacket(
            epoch=Epoch.ONE_RTT,
            in_flight=in_flight,
            is_ack_eliciting=eliciting,
            is_crypto_packet=False,
            packet_number=number,
            packet_type=QuicPacketType.ONE_RTT,
            sent_time=now,
            sent_bytes=SIZE,
        )
        packet.delivery_handlers.append((self._on_delivery, (number,)))
        self.recovery.on_packet_sent(packet=packet, space=self.space)

    def _on_delivery(self, state: QuicDeliveryState, number: int) -> None:
        self.reports.append((state.name, number))

    def acknowledge(self, *ranges: range, now: float, delay: float = 0.0) -> None:
        self.recovery.on_ack_received(
            ack_rangeset=RangeSet(ranges), ack_delay=delay, now=now, space=self.space
        )

    @property
    def lost(self) -> list[int]:
        return [number for name, number in self.reports if name == "LOST"]


def test_an_acknowledgement_of_a_packet_that_was_never_sent_is_an_error() -> None:
    trace = Trace()
    trace.send(5, 0.0)
    with pytest.raises(QuicConnectionError, match="never sent"):
        trace.acknowledge(range(4), range(10, 2**61), now=RTT)
    assert trace.reports == []
    trace.acknowledge(range(4), range(5, 6), now=RTT)
    assert trace.reports == [("ACKED", 5)]


def test_only_an_acknowledgement_of_what_asks_for_one_is_an_answer() -> None:
    trace = Trace()
    trace.send(0, 0.0, eliciting=False, in_flight=False)
    trace.send(1, 0.0)
    trace.acknowledge(range(1), now=1.0)
    assert trace.recovery.answered_at == 0.0
    trace.acknowledge(range(2), now=2.0)
    assert trace.recovery.answered_at == 2.0


def test_there_is_no_round_trip_time_before_the_first_sample() -> None:
    trace = Trace()
    assert trace.recovery.smoothed_rtt is None
    trace.send(0, 0.0)
    trace.acknowledge(range(1), now=RTT)
    assert trace.recovery.smoothed_rtt == RTT


def test_the_window_is_full_when_no_datagram_fits() -> None:
    trace = Trace()
    number = 0
    while not trace.recovery.is_window_full:
        trace.send(number, 0.0)
        number += 1
    assert number == 10
    trace.acknowledge(range(1), now=RTT)
    assert not trace.recovery.is_window_full


@pytest.mark.parametrize("control", CONTROLS)
class TestNewPath:
    """Packets sent on the old path say nothing of the new one (RFC 9000, 9.4)."""

    def test_acknowledgements(self, control: str) -> None:
        trace = Trace(control)
        recovery = trace.recovery
        initial = recovery.congestion_window
        for number in range(100):
            trace.send(number, 1.0)
        trace.acknowledge(range(50), now=1.0 + RTT)
        recovery.start_path(2.0, datagram_size=SIZE)
        assert (recovery.congestion_window, recovery.smoothed_rtt) == (initial, None)
        assert recovery.bytes_in_flight == 50 * SIZE, "or a silent link would run empty"

        trace.acknowledge(range(60), now=3.0)
        assert (recovery.congestion_window, recovery.smoothed_rtt) == (initial, None)
        assert recovery.bytes_in_flight == 40 * SIZE
        assert recovery.answered_at == 3.0
        assert trace.reports[-1] == ("ACKED", 59)

    def test_losses(self, control: str) -> None:
        trace = Trace(control)
        recovery = trace.recovery
        initial = recovery.congestion_window
        for number in range(20):
            trace.send(number, 1.0)
        recovery.start_path(2.0, datagram_size=SIZE)
        trace.send(20, 3.0)
        trace.acknowledge(range(20, 21), now=3.5)
        assert trace.lost == list(range(20))
        assert recovery.bytes_in_flight == 0
        assert recovery.smoothed_rtt == 0.5
        assert recovery.congestion_window == initial + SIZE


def test_a_probe_resets_the_back_off_and_sends_the_oldest_packet_again() -> None:
    trace = Trace()
    for number in range(3):
        trace.send(number, 0.0)
    for _ in range(5):
        trace.recovery.on_loss_detection_timeout(now=1.0)
        trace.send(10 + len(trace.reports), 1.0)
    assert trace.recovery.timeouts == 5
    trace.reports.clear()
    trace.recovery.probe(2.0)
    assert trace.recovery.timeouts == 0
    assert [name for name, _ in trace.reports] == ["LOST", "PROBE"]


def test_acknowledgements_that_the_peer_never_acknowledges_are_forgotten() -> None:
    trace = Trace()
    trace.send(0, 0.0)
    for number in range(1, 10 * ACKS_MAX):
        trace.send(number, float(number), eliciting=False, in_flight=False)
    assert len(trace.space.sent_packets) == 1 + ACKS_MAX
    trace.acknowledge(range(10 * ACKS_MAX), now=9999.0)
    assert not trace.space.sent_packets


def test_statistics_count_what_was_declared_lost() -> None:
    trace = Trace()
    for number in range(20):
        trace.send(number, 0.0)
    trace.recovery.on_loss_detection_timeout(now=1.0)  # sent again, but not declared lost
    assert (trace.recovery.packets_sent, trace.recovery.packets_lost) == (20, 0)
    trace.acknowledge(range(18, 20), now=RTT)
    assert trace.lost == list(range(6))
    assert (trace.recovery.packets_lost, trace.recovery.bytes_lost) == (5, 5 * SIZE)


def test_a_packet_is_lost_when_it_was_overtaken_by_too_many() -> None:
    trace = Trace()
    for number in range(PACKET_THRESHOLD + 1):
        trace.send(number, 0.0)
    trace.acknowledge(range(1, PACKET_THRESHOLD), now=RTT)
    assert trace.lost == []
    trace.acknowledge(range(1, PACKET_THRESHOLD + 1), now=RTT)
    assert trace.lost == [0]


def test_a_packet_is_lost_when_it_was_overtaken_for_too_long() -> None:
    trace = Trace()
    for number in range(3):
        trace.send(number, 0.0)
    trace.acknowledge(range(2, 3), now=RTT)
    due = trace.recovery.get_loss_detection_time(amplification_limited=False)
    assert due == pytest.approx(TIME_THRESHOLD * RTT)
    trace.recovery.on_loss_detection_timeout(now=due)
    assert trace.lost == [0, 1]
    assert trace.recovery.timeouts == 0


def test_a_probe_of_the_mtu_that_is_lost_is_no_loss() -> None:
    trace = Trace()
    trace.send(0, 5.0, in_flight=False)
    assert trace.recovery.bytes_in_flight == 0
    timer = trace.recovery.get_loss_detection_time(amplification_limited=False)
    assert timer is not None
    assert timer > 5.0
    trace.send(PACKET_THRESHOLD, 5.0)
    trace.acknowledge(range(PACKET_THRESHOLD, PACKET_THRESHOLD + 1), now=6.0)
    assert trace.lost == [0]
    assert trace.recovery.packets_lost == 0


@pytest.mark.parametrize(
    ("asked_for", "used"),
    [
        (None, Bbr),
        ("bbr", Bbr),
        ("cubic", CubicCongestionControl),
        ("reno", RenoCongestionControl),
    ],
)
def test_both_ends_have_the_congestion_control_that_was_asked_for(asked_for, used) -> None:
    pair = Pair.trusting(settings=LinkSettings(congestion=asked_for))
    assert {type(end.engine._loss._cc) for end in pair.ends} == {used}
