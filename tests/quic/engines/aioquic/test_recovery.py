"""Loss recovery agrees with aioquic's own on random traces; the pacer keeps to its rate."""

from __future__ import annotations

import random

import pytest
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.congestion.reno import RenoCongestionControl
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace
from aioquic.tls import Epoch
from pair import Pair

from quictunnel.quic.engines.aioquic.congestion import Bbr
from quictunnel.quic.engines.aioquic.recovery import UNANSWERABLE_MAX, Recovery
from quictunnel.quic.settings import LinkSettings

SIZE = 1200
RTT = 0.05


class Trace:
    """One recovery under a script of sending and acknowledging, and what it did."""

    def __init__(self, kind: type[QuicPacketRecovery], congestion_control: str) -> None:
        self.recovery = kind(
            congestion_control_algorithm=congestion_control,
            initial_rtt=0.1,
            max_datagram_size=SIZE,
            peer_completed_address_validation=True,
            send_probe=lambda: self.told.append(("probe",)),
        )
        self.recovery.handshake_confirmed = True
        self.space = QuicPacketSpace(is_application_data=True)
        self.recovery.spaces = [self.space]
        self.told: list[tuple] = []

    def send(self, number: int, now: float, *, eliciting: bool, in_flight: bool) -> None:
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
        packet.delivery_handlers.append((self._delivered, (number,)))
        self.recovery.on_packet_sent(packet=packet, space=self.space)

    def _delivered(self, state: QuicDeliveryState, number: int) -> None:
        self.told.append((state.name, number))

    def acknowledge(self, spans: list[range], delay: float, now: float) -> None:
        self.recovery.on_ack_received(
            ack_rangeset=RangeSet(spans), ack_delay=delay, now=now, space=self.space
        )

    def time_out(self, now: float) -> None:
        self.recovery.on_loss_detection_timeout(now=now)

    @property
    def state(self) -> dict[str, object]:
        recovery, space = self.recovery, self.space
        return {
            "in flight": list(space.sent_packets),
            "eliciting": space.ack_eliciting_in_flight,
            "largest": space.largest_acked_packet,
            "bytes": recovery.bytes_in_flight,
            "window": recovery.congestion_window,
            "timeouts": recovery._pto_count,
            "loss time": pytest.approx(space.loss_time),
            "smoothed": pytest.approx(recovery._rtt_smoothed),
            "latest": pytest.approx(recovery._rtt_latest),
        }


def spans_of(numbers: list[int]) -> list[range]:
    spans = RangeSet()
    for number in numbers:
        spans.add(number, number + 1)
    return list(spans)


@pytest.mark.parametrize("congestion_control", ["reno", "cubic"])
@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_aioquics_own(congestion_control: str, seed: int, monkeypatch) -> None:
    """But for what turns up late, of which aioquic takes no notice."""
    monkeypatch.setattr(Recovery, "_turn_up", lambda *_: None)
    ours = Trace(Recovery, congestion_control)
    theirs = Trace(QuicPacketRecovery, congestion_control)
    script = random.Random(seed)
    now, number = 0.0, 0
    arrived: list[int] = []
    for _ in range(400):
        now += script.random() * 0.01
        for _ in range(script.randrange(6)):
            eliciting = script.random() < 0.9
            in_flight = eliciting or script.random() < 0.5
            for trace in (ours, theirs):
                trace.send(number, now, eliciting=eliciting, in_flight=in_flight)
            if script.random() < 0.9:
                arrived.insert(len(arrived) - min(len(arrived), script.randrange(3)), number)
            number += 1
        heard = arrived[: script.randrange(len(arrived) + 1)]
        if heard and script.random() < 0.5:
            spans = spans_of(heard[-200:])
            delay = script.choice([0.0, 0.001, 0.025, 0.1])
            for trace in (ours, theirs):
                trace.acknowledge(spans, delay, now + RTT)
        elif script.random() < 0.05:
            for trace in (ours, theirs):
                trace.time_out(now + RTT)
        assert ours.told == theirs.told
        assert ours.state == theirs.state
    assert {word for word, *_ in ours.told} >= {"ACKED", "LOST"}


def test_packets_that_were_never_sent_are_acknowledged_in_vain() -> None:
    trace = Trace(Recovery, "cubic")
    trace.send(5, 0.0, eliciting=True, in_flight=True)
    trace.acknowledge([range(4), range(10, 2**61)], 0.0, RTT)
    assert trace.told == []
    trace.acknowledge([range(4), range(5, 6)], 0.0, RTT)
    assert trace.told == [("ACKED", 5)]


@pytest.mark.parametrize("congestion_control", ["reno", "cubic"])
def test_what_was_sent_on_the_old_path_says_nothing_of_the_new_one(congestion_control: str) -> None:
    trace = Trace(Recovery, congestion_control)
    recovery = trace.recovery
    initial = recovery.congestion_window
    for number in range(100):
        trace.send(number, 1.0, eliciting=True, in_flight=True)
    trace.acknowledge([range(50)], 0.0, 1.0 + RTT)
    recovery.meet_new_path(2.0, datagram_size=SIZE)
    assert (recovery.congestion_window, recovery.smoothed_rtt) == (initial, None)
    assert recovery.bytes_in_flight == 50 * SIZE

    trace.acknowledge([range(60)], 0.0, 3.0)
    assert (recovery.congestion_window, recovery.smoothed_rtt) == (initial, None)
    trace.send(100, 3.0, eliciting=True, in_flight=True)
    trace.acknowledge([range(60), range(100, 101)], 0.0, 3.5)
    assert trace.told[-1] == ("LOST", 99)
    assert recovery.bytes_in_flight == 0
    assert recovery.smoothed_rtt == 0.5
    assert recovery.congestion_window == initial + SIZE


def test_answers_that_nobody_acknowledges_are_forgotten() -> None:
    trace = Trace(Recovery, "cubic")
    trace.send(0, 0.0, eliciting=True, in_flight=True)
    for number in range(1, 10 * UNANSWERABLE_MAX):
        trace.send(number, float(number), eliciting=False, in_flight=False)
    assert len(trace.space.sent_packets) == 1 + UNANSWERABLE_MAX
    trace.acknowledge([range(10 * UNANSWERABLE_MAX)], 0.0, 9999.0)
    assert not trace.space.sent_packets
    assert trace.recovery.bytes_in_flight == 0


def test_there_is_no_smoothed_time_before_the_first_sample() -> None:
    trace = Trace(Recovery, "cubic")
    assert trace.recovery.smoothed_rtt is None
    trace.send(0, 0.0, eliciting=True, in_flight=True)
    trace.acknowledge([range(1)], 0.0, RTT)
    assert trace.recovery.smoothed_rtt == RTT


def test_the_round_trip_time_may_be_shorter_than_a_millisecond() -> None:
    trace = Trace(Recovery, "cubic")
    for number in range(100):
        trace.send(number, number * 1.0, eliciting=True, in_flight=True)
        trace.acknowledge([range(number, number + 1)], 0.0, number + 0.0001)
    assert trace.recovery.smoothed_rtt == pytest.approx(0.0001)


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
