"""BBR: rate samples, the parts of the model, the state machine, and pacing. All in virtual time."""

from __future__ import annotations

import itertools
import math

import pytest
from aioquic.quic.congestion.base import create_congestion_control
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from quictunnel.quic.engines.aioquic.congestion import (
    BETA,
    BURST_DATAGRAMS,
    BURST_TIME,
    BW_PROBE_WAIT,
    FULL_BW_ROUNDS,
    HEADROOM,
    MIN_PIPE_CWND_PACKETS,
    MIN_RTT_FILTER_LEN,
    PROBE_RTT_CWND_GAIN,
    PROBE_RTT_INTERVAL,
    WINDOW_PACING_GAIN,
    Bbr,
    BbrState,
    CongestionSignals,
    DeliveryRateSampler,
    FullBandwidth,
    MaxBandwidth,
    MinRtt,
    Pacer,
    PacketState,
    RateSample,
    Rounds,
)

SIZE = 1200
RTT = 0.1
RATE = 1_000_000
"""Bytes per second."""

BDP = RATE * RTT
TICK = 0.001
"""Seconds between two steps of the simulation."""


def sent_packet(number: int, now: float) -> QuicSentPacket:
    return QuicSentPacket(
        epoch=Epoch.ONE_RTT,
        in_flight=True,
        is_ack_eliciting=True,
        is_crypto_packet=False,
        packet_number=number,
        packet_type=QuicPacketType.ONE_RTT,
        sent_time=now,
        sent_bytes=SIZE,
    )


def sample(
    rate: float = RATE,
    *,
    delivered_before: int = 0,
    delivered: int = 0,
    lost: int = 0,
    app_limited: bool = False,
) -> RateSample:
    newest = PacketState(
        sent_at=0.0,
        first_sent_at=0.0,
        delivered=delivered_before,
        delivered_at=0.0,
        lost=0,
        in_flight=100 * SIZE,
        app_limited=app_limited,
    )
    return RateSample(newest, rate, delivered, lost, newly_acked=SIZE)


class Path:
    """A bottleneck with a queue, a sender with enough data, and a receiver that ACKs each packet.

    A packet is declared lost when the third packet after it is acknowledged.
    """

    def __init__(self, *, start: float = 0.0) -> None:
        self.rate = RATE
        self.rtt = RTT
        self.queue = math.inf
        """Seconds that a packet may wait. One that would wait longer is lost."""
        self.bbr = Bbr(max_datagram_size=SIZE)
        self.pacer = Pacer(max_datagram_size=SIZE)
        self.now = start
        self.states = [self.bbr.state]
        """States in the order they were entered."""
        self.on_flight: dict[int, QuicSentPacket] = {}
        self._number = 0
        self._free_at = start
        self._arriving: list[tuple[float, int]] = []

    def run(
        self, seconds: float, *, lose_every: int | None = None, demand: float = math.inf
    ) -> None:
        """Send for a while, with at most `demand` bytes in flight."""
        stop = self.now + seconds
        while self.now < stop:
            self.step(lose_every=lose_every, demand=demand)

    def run_until(self, state: BbrState) -> None:
        """Send until BBR is in a state."""
        stop = self.now + 20.0
        while self.bbr.state is not state:
            assert self.now < stop, self.states
            self.step()

    def step(self, *, lose_every: int | None = None, demand: float = math.inf) -> None:
        self.now += TICK
        while self._arriving and self._arriving[0][0] <= self.now:
            self._acknowledge(*self._arriving.pop(0))
        bbr = self.bbr
        while (
            bbr.bytes_in_flight + SIZE <= min(bbr.congestion_window, demand)
            and self.pacer.next_send_time(self.now) is None
        ):
            self._send(is_lost=lose_every is not None and self._number % lose_every == 0)
        if demand < math.inf:
            bbr.on_app_limited()

    def _send(self, *, is_lost: bool) -> None:
        packet = self.on_flight[self._number] = sent_packet(self._number, self.now)
        self.bbr.on_packet_sent(packet=packet)
        self.pacer.update_after_send(self.now, SIZE)
        leaves_at = max(self._free_at, self.now) + SIZE / self.rate
        if leaves_at - self.now <= self.queue:
            self._free_at = leaves_at
            if not is_lost:
                self._arriving.append((leaves_at + self.rtt, self._number))
        self._number += 1

    def _acknowledge(self, now: float, number: int) -> None:
        packet = self.on_flight.pop(number)
        assert packet.sent_time is not None
        self.bbr.on_packet_acked(now=now, packet=packet)
        self.bbr.on_rtt_measurement(now=now, rtt=now - packet.sent_time)
        lost = [sent for n, sent in self.on_flight.items() if n <= number - 3]
        for each in lost:
            del self.on_flight[each.packet_number]
        self.bbr.on_packets_lost(now=now, packets=lost)
        self.bbr.on_ack_end(now)
        assert self.bbr.pacing_rate is not None
        self.pacer.set_rate(self.bbr.pacing_rate)
        if self.bbr.state is not self.states[-1]:
            self.states.append(self.bbr.state)


# Delivery rate samples


def test_a_rate_is_delivered_bytes_over_the_longer_interval() -> None:
    sampler = DeliveryRateSampler()
    sent = [sampler.on_sent(SIZE, index * SIZE, now=index * 0.01) for index in range(10)]
    for index, packet in enumerate(sent):
        sampler.on_acked(packet, SIZE, 0.1 + index * 0.02)  # half as fast as they were sent
    taken = sampler.take_sample(min_rtt=0.05)
    assert taken is not None
    assert taken.delivery_rate == pytest.approx(10 * SIZE / (0.1 + 9 * 0.02))
    assert (taken.newly_acked, taken.delivered, taken.lost) == (10 * SIZE, 10 * SIZE, 0)
    assert taken.newest is sent[-1]
    assert sampler.take_sample(min_rtt=0.05) is None


def test_acks_that_arrive_together_do_not_raise_the_rate() -> None:
    sampler = DeliveryRateSampler()
    sent = [sampler.on_sent(SIZE, index * SIZE, now=index * 0.1) for index in range(10)]
    for packet in sent:
        sampler.on_acked(packet, SIZE, 1.0)
    taken = sampler.take_sample(min_rtt=0.1)
    assert taken is not None
    assert taken.delivery_rate == pytest.approx(10 * SIZE / 1.0)


def test_an_interval_shorter_than_a_round_trip_gives_no_rate() -> None:
    sampler = DeliveryRateSampler()
    sampler.on_acked(sampler.on_sent(SIZE, 0, now=0.0), SIZE, 0.01)
    taken = sampler.take_sample(min_rtt=0.05)
    assert taken is not None
    assert taken.delivery_rate == 0.0


def test_packets_are_app_limited_until_all_in_flight_are_delivered() -> None:
    sampler = DeliveryRateSampler()
    first = sampler.on_sent(SIZE, 0, now=0.0)
    sampler.mark_app_limited(SIZE)
    second = sampler.on_sent(SIZE, SIZE, now=0.01)
    assert (first.app_limited, second.app_limited) == (False, True)
    sampler.on_acked(first, SIZE, RTT)
    sampler.take_sample(RTT)
    assert sampler.is_app_limited
    sampler.on_acked(second, SIZE, RTT + 0.01)
    sampler.take_sample(RTT)
    assert not sampler.is_app_limited


# The parts of the model


def test_a_round_lasts_until_a_packet_sent_in_it_is_delivered() -> None:
    rounds = Rounds()
    started = []
    for before, delivered in ((0, SIZE), (0, 2 * SIZE), (SIZE, 3 * SIZE), (2 * SIZE, 4 * SIZE)):
        rounds.update(sample(delivered_before=before), delivered)
        started.append(rounds.started)
    assert started == [True, False, True, False]
    assert rounds.since_bw_probe == 2


def test_the_bandwidth_is_the_maximum_of_two_cycles() -> None:
    max_bw = MaxBandwidth()
    for rate in (100.0, 300.0, 200.0):
        max_bw.update(sample(rate))
    max_bw.advance()
    max_bw.update(sample(250.0))
    assert max_bw.value == 300.0
    max_bw.advance()
    max_bw.update(sample(50.0))
    assert max_bw.value == 250.0


def test_an_app_limited_sample_can_only_raise_the_bandwidth() -> None:
    max_bw = MaxBandwidth()
    max_bw.update(sample(100.0))
    max_bw.advance()
    max_bw.update(sample(50.0, app_limited=True))
    max_bw.advance()
    max_bw.update(sample(20.0))
    assert max_bw.value == 20.0, "the 50 did not count"
    max_bw.update(sample(70.0, app_limited=True))
    assert max_bw.value == 70.0


def test_the_minimum_rtt_is_that_of_the_last_ten_seconds() -> None:
    min_rtt = MinRtt()
    min_rtt.update(RTT, 1000.0)
    min_rtt.update(2 * RTT, 1001.0)
    assert (min_rtt.value, min_rtt.latest) == (RTT, 2 * RTT)
    min_rtt.update(2 * RTT, 1000.0 + MIN_RTT_FILTER_LEN - 1)
    assert min_rtt.value == RTT
    min_rtt.update(2 * RTT, 1000.0 + MIN_RTT_FILTER_LEN + 1)
    assert min_rtt.value == 2 * RTT


def test_a_probe_is_due_when_no_rtt_was_a_new_minimum_for_five_seconds() -> None:
    min_rtt = MinRtt()
    min_rtt.update(RTT, 1000.0)
    assert not min_rtt.probe_due
    min_rtt.update(0.9 * RTT, 1003.0)
    min_rtt.update(RTT, 1003.0 + PROBE_RTT_INTERVAL - 0.1)
    assert not min_rtt.probe_due
    min_rtt.update(RTT, 1003.0 + PROBE_RTT_INTERVAL + 0.1)
    assert min_rtt.probe_due
    min_rtt.on_probed(1009.0)
    assert not min_rtt.probe_due
    min_rtt.update(RTT, 1009.0 + PROBE_RTT_INTERVAL - 0.1)
    assert not min_rtt.probe_due


def test_a_path_is_full_after_three_rounds_without_growth() -> None:
    full_bw = FullBandwidth()
    for rate in (100.0, 124.0, 124.0, 126.0):  # the last one is growth, so the count restarts
        full_bw.update(sample(rate), round_started=True)
    for _ in range(FULL_BW_ROUNDS - 1):
        full_bw.update(sample(126.0), round_started=True)
        full_bw.update(sample(126.0), round_started=False)
        full_bw.update(sample(126.0, app_limited=True), round_started=True)
        full_bw.update(sample(0.0), round_started=True)
    assert not full_bw.now
    full_bw.update(sample(126.0), round_started=True)
    assert full_bw.now
    assert full_bw.reached
    full_bw.reset(126.0)
    assert not full_bw.now
    assert full_bw.reached


def test_a_round_with_losses_lowers_the_short_term_bounds() -> None:
    signals = CongestionSignals()
    signals.update(sample(100.0, delivered=10 * SIZE))
    signals.adapt(1000.0, 100 * SIZE)
    assert (signals.bw_shortterm, signals.inflight_shortterm) == (math.inf, math.inf)
    signals.loss_in_round = True
    signals.adapt(1000.0, 100 * SIZE)
    assert signals.bw_shortterm == pytest.approx(BETA * 1000.0)
    assert signals.inflight_shortterm == pytest.approx(BETA * 100 * SIZE)
    signals.reset()
    signals.update(sample(690.0, delivered=69 * SIZE))
    signals.loss_in_round = True
    signals.adapt(1000.0, 100 * SIZE)
    assert signals.bw_shortterm == 690.0, "no lower than the rate of the round"
    assert signals.inflight_shortterm == 69 * SIZE
    signals.reset_bounds()
    assert (signals.bw_shortterm, signals.inflight_shortterm) == (math.inf, math.inf)


# The state machine


def test_the_states_follow_each_other() -> None:
    path = Path()
    path.run(6.0)
    assert path.states[:7] == [
        BbrState.STARTUP,
        BbrState.DRAIN,
        BbrState.PROBE_BW_CRUISE,  # Drain has emptied the queue, so there is nothing left for DOWN
        BbrState.PROBE_BW_REFILL,
        BbrState.PROBE_BW_UP,
        BbrState.PROBE_BW_DOWN,
        BbrState.PROBE_BW_CRUISE,
    ]


def test_the_rate_and_the_rtt_of_a_path_are_found() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.run(1.0)
    assert path.bbr._max_bw.value == pytest.approx(RATE, rel=0.05)
    assert path.bbr._min_rtt.value == pytest.approx(RTT, rel=0.05)
    assert path.bbr.pacing_rate == pytest.approx(RATE, rel=0.05)
    assert path.bbr.bytes_in_flight < 1.2 * BDP
    assert path.bbr.congestion_window == pytest.approx(2 * BDP, rel=0.1)


def test_startup_almost_doubles_the_window_each_round_trip() -> None:
    path = Path()
    path.rate = 100 * RATE
    windows = []
    for _ in range(8):
        path.run(RTT)
        windows.append(path.bbr.congestion_window)
    assert path.bbr.state is BbrState.STARTUP
    assert all(later > 1.7 * sooner for sooner, later in itertools.pairwise(windows[3:]))


def test_losses_below_the_threshold_do_not_end_startup() -> None:
    path = Path()
    path.rate = 100 * RATE
    path.run(8 * RTT, lose_every=100)
    assert path.bbr.state is BbrState.STARTUP
    assert path.bbr._signals.bw_shortterm == math.inf


def test_a_few_lost_packets_of_a_small_flight_do_not_end_startup() -> None:
    path = Path()
    path.rate = 100 * RATE
    path.run(4 * RTT, lose_every=12)
    assert path.bbr.state is BbrState.STARTUP


def test_many_losses_end_startup_without_a_long_term_bound() -> None:
    path = Path()
    path.rate = 100 * RATE
    path.run(8 * RTT, lose_every=10)
    assert path.bbr.state is not BbrState.STARTUP
    assert not path.bbr._full_bw.now, "the rate was still growing"
    assert path.bbr._inflight_longterm == math.inf


def test_drain_empties_the_queue_of_startup() -> None:
    path = Path()
    path.run_until(BbrState.DRAIN)
    assert path.bbr.bytes_in_flight > 1.3 * BDP
    path.run_until(BbrState.PROBE_BW_CRUISE)
    assert path.bbr.bytes_in_flight <= 1.05 * BDP


def test_one_probe_finds_a_rate_that_has_doubled() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.rate = 2 * RATE
    path.run_until(BbrState.PROBE_BW_UP)
    path.run_until(BbrState.PROBE_BW_DOWN)
    assert path.bbr._max_bw.value == pytest.approx(2 * RATE, rel=0.1)


def test_a_rate_that_has_halved_is_forgotten_after_two_cycles() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.rate = RATE // 2
    for _ in range(3):
        path.run_until(BbrState.PROBE_BW_UP)
        path.run_until(BbrState.PROBE_BW_DOWN)
    path.run(1.0)
    assert path.bbr._max_bw.value == pytest.approx(RATE / 2, rel=0.1)


def test_a_probe_that_loses_too_much_ends_and_sets_the_long_term_bound() -> None:
    path = Path()
    path.queue = 0.02
    path.run_until(BbrState.PROBE_BW_UP)
    assert path.bbr._inflight_longterm == math.inf
    path.run_until(BbrState.PROBE_BW_DOWN)
    bound = path.bbr._inflight_longterm
    assert BDP < bound < 1.5 * BDP
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.run(2 * RTT)
    assert path.bbr.state is BbrState.PROBE_BW_CRUISE
    assert path.bbr.congestion_window <= (1 - HEADROOM) * bound


def test_a_probe_bears_losses_below_the_threshold() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_UP)
    while path.bbr.state is BbrState.PROBE_BW_UP:
        path.step(lose_every=200)
    assert path.bbr._full_bw.now
    assert path.bbr._inflight_longterm == math.inf


def test_losses_while_cruising_lower_the_rate_until_the_next_probe() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.run(3 * RTT, lose_every=5)
    assert path.bbr.state is BbrState.PROBE_BW_CRUISE
    assert path.bbr._signals.bw_shortterm < 0.95 * RATE
    assert path.bbr._max_bw.value == pytest.approx(RATE, rel=0.05)
    path.run_until(BbrState.PROBE_BW_REFILL)
    assert path.bbr._signals.bw_shortterm == math.inf


def test_one_percent_of_loss_leaves_most_of_the_rate() -> None:
    path = Path()
    path.run(10.0, lose_every=100)
    assert path.bbr._max_bw.value > 0.9 * RATE
    assert path.bbr._bw > 0.5 * RATE


def test_a_sender_with_little_to_send_does_not_lower_the_rate() -> None:
    path = Path()
    path.run(3.0)
    path.run(8.0, demand=3 * SIZE)
    assert path.bbr._max_bw.value > 0.9 * RATE


def test_without_a_new_minimum_rtt_the_window_is_halved_for_a_while() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_RTT)
    entered_at, window = path.now, path.bbr.congestion_window
    assert entered_at >= PROBE_RTT_INTERVAL
    path.run(2 * RTT)
    assert path.bbr.state is BbrState.PROBE_RTT
    assert path.bbr.bytes_in_flight <= PROBE_RTT_CWND_GAIN * BDP * 1.05
    path.run_until(BbrState.PROBE_BW_CRUISE)
    assert path.now < entered_at + 1.0
    assert path.bbr.congestion_window >= 0.9 * window
    path.run(1.0)
    assert BbrState.PROBE_RTT not in path.states[path.states.index(BbrState.PROBE_RTT) + 1 :]


def test_a_path_that_was_idle_needs_no_probe_of_its_rtt() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.run(2 * RTT, demand=0)
    assert not path.bbr.bytes_in_flight
    path.now += 2 * PROBE_RTT_INTERVAL
    path.run(2 * RTT)
    assert BbrState.PROBE_RTT not in path.states


def test_the_time_between_probes_differs_between_links_and_is_repeatable() -> None:
    waits = []
    for start in (0.0, 0.0, 0.01):
        path = Path(start=start)
        path.run_until(BbrState.PROBE_BW_CRUISE)
        waits.append(path.bbr._bw_probe_at - path.now)
    assert waits[0] == waits[1] != waits[2]
    assert all(BW_PROBE_WAIT[0] - TICK <= wait <= BW_PROBE_WAIT[1] for wait in waits)


def test_on_a_short_path_probes_come_after_as_many_rounds_as_renos() -> None:
    path = Path()
    path.rate = 20 * SIZE * 10  # 20 packets per round trip
    path.run_until(BbrState.PROBE_BW_CRUISE)
    entered_at = path.now
    path.bbr._bw_probe_at = math.inf
    path.run_until(BbrState.PROBE_BW_REFILL)
    assert path.now < entered_at + 25 * RTT


def test_a_measured_rate_of_almost_nothing_does_not_stop_the_sender() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.bbr._signals.bw_shortterm = 1.0  # the next packet would be 20 minutes away
    path.bbr._set_pacing_rate()
    assert path.bbr.pacing_rate is not None
    assert path.bbr.pacing_rate >= MIN_PIPE_CWND_PACKETS * SIZE / path.bbr._min_rtt.latest


def test_persistent_congestion_leaves_the_smallest_window() -> None:
    path = Path()
    path.run_until(BbrState.PROBE_BW_CRUISE)
    path.bbr.on_persistent_congestion()
    assert path.bbr.congestion_window == MIN_PIPE_CWND_PACKETS * SIZE
    path.run(1.0)
    assert path.bbr.congestion_window > BDP


def test_expired_packets_count_neither_as_delivered_nor_as_lost() -> None:
    bbr = Bbr(max_datagram_size=SIZE)
    packet = sent_packet(0, 0.0)
    bbr.on_packet_sent(packet=packet)
    assert bbr.bytes_in_flight == SIZE
    bbr.on_packets_expired(packets=[packet])
    assert bbr.bytes_in_flight == 0
    assert (bbr._sampler.delivered, bbr._sampler.lost) == (0, 0)
    assert not bbr._packet_states


def test_packets_of_an_earlier_path_only_leave_the_flight() -> None:
    bbr = Bbr(max_datagram_size=SIZE)
    bbr.bytes_in_flight = 2 * SIZE
    bbr.on_packet_acked(now=1.0, packet=sent_packet(0, 0.0))
    bbr.on_packets_lost(now=1.0, packets=[sent_packet(1, 0.0)])
    bbr.on_ack_end(1.0)
    assert bbr.bytes_in_flight == 0
    assert (bbr._sampler.delivered, bbr._sampler.lost) == (0, 0)


@pytest.mark.parametrize("name", ["bbr", "cubic", "reno"])
def test_a_congestion_control_is_found_by_its_name(name: str) -> None:
    control = create_congestion_control(name, max_datagram_size=SIZE)
    assert isinstance(control, Bbr) == (name == "bbr")
    assert control.congestion_window == 10 * SIZE
    assert hasattr(control, "_max_datagram_size")


# Pacing


def paced(pacer: Pacer, seconds: float) -> int:
    """Return how many full datagrams leave at the times that the pacer gives."""
    now, count = 0.0, 0
    while now < seconds:
        at = pacer.next_send_time(now)
        if at is None:
            pacer.update_after_send(now, SIZE)
            count += 1
        else:
            assert at > now
            now = at + 1e-9
    return count


def burst(pacer: Pacer, now: float, *, size: int = SIZE) -> int:
    """Return how many datagrams leave at once."""
    count = 0
    while pacer.next_send_time(now) is None:
        pacer.update_after_send(now, size)
        count += 1
    return count


@pytest.fixture
def pacer() -> Pacer:
    pacer = Pacer(max_datagram_size=SIZE)
    pacer.update_rate(100 * SIZE, RTT)
    return pacer


def test_without_an_rtt_nothing_is_paced() -> None:
    pacer = Pacer(max_datagram_size=SIZE)
    for _ in range(1000):
        assert pacer.next_send_time(0.0) is None
        pacer.update_after_send(0.0, SIZE)
    assert pacer.rate == 0.0


def test_the_rate_of_a_window_is_a_little_more_than_a_window_per_round_trip(pacer: Pacer) -> None:
    assert pacer.rate == pytest.approx(WINDOW_PACING_GAIN * 100 * SIZE / RTT)
    assert paced(pacer, 10.0) * SIZE == pytest.approx(10.0 * pacer.rate, rel=0.01)


def test_a_rate_of_its_own_takes_precedence_over_the_window(pacer: Pacer) -> None:
    pacer.set_rate(RATE)
    pacer.update_rate(1000 * SIZE, RTT)
    assert paced(pacer, 10.0) * SIZE == pytest.approx(10.0 * RATE, rel=0.01)


@pytest.mark.parametrize("rate", [RATE, 10 * RATE])
def test_a_burst_is_bounded_after_a_pause_of_any_length(pacer: Pacer, rate: int) -> None:
    pacer.set_rate(rate)
    burst(pacer, 0.0)
    for now in (1.0, 61.0):
        assert burst(pacer, now) == math.ceil(max(BURST_DATAGRAMS, BURST_TIME * rate / SIZE))


def test_an_event_loop_that_is_late_loses_nothing(pacer: Pacer) -> None:
    pacer.set_rate(RATE)
    now, count = 0.0, 0
    while now < 10.0:
        count += burst(pacer, now)
        at = pacer.next_send_time(now)
        assert at is not None
        now = at + BURST_TIME / 2
    assert count * SIZE == pytest.approx(10.0 * RATE, rel=0.01)


def test_small_datagrams_count_for_their_size(pacer: Pacer) -> None:
    assert burst(pacer, 0.0, size=SIZE // 10) == 10 * BURST_DATAGRAMS


def test_time_that_runs_backwards_gives_no_tokens(pacer: Pacer) -> None:
    burst(pacer, 1.0)
    assert pacer.next_send_time(0.5) is not None
    assert burst(pacer, 1.0) == 0
