"""BBR: samples of the rate, what it makes of losses, and the states it is in."""

from __future__ import annotations

import math

import pytest
from test_recovery import SIZE, Trace

from quictunnel.quic.engines.aioquic.bbr import Bbr
from quictunnel.quic.engines.aioquic.bbr_model import Model
from quictunnel.quic.engines.aioquic.bbr_startup import PROBE_BW, State
from quictunnel.quic.engines.aioquic.delivery import DeliveryRate, Departure
from quictunnel.quic.engines.aioquic.recovery import Recovery

RTT = 0.1
RATE = 1_000_000
"""Bytes a second."""


def departure(*, in_flight: int, app_limited: bool = False) -> Departure:
    return Departure(0.0, SIZE, 0, 0.0, 0.0, 0, in_flight, app_limited)


class Path:
    """A bottleneck with all the queue it needs, and a sender with no end of data."""

    def __init__(self) -> None:
        self.rate = RATE
        self.trace = Trace(Recovery, "bbr")
        self.now = 0.0
        self._number = 0
        self._free_at = 0.0
        self._arriving: list[tuple[float, int]] = []
        self._acked: list[range] = []

    @property
    def control(self) -> Bbr:
        control = self.trace.recovery._cc
        assert isinstance(control, Bbr)
        return control

    def run(self, seconds: float, *, lose: int | None = None, most: float = math.inf) -> None:
        """Send for so long; every so many packets one is lost."""
        stop = self.now + seconds
        recovery = self.trace.recovery
        while self.now < stop:
            self.now += 0.001
            while self._arriving and self._arriving[0][0] <= self.now:
                at, number = self._arriving.pop(0)
                self.trace.acknowledge([range(number, number + 1)], 0.0, at)
            while (
                recovery.bytes_in_flight + SIZE <= min(recovery.congestion_window, most)
                and recovery._pacer.next_send_time(self.now) is None
            ):
                self.trace.send(self._number, self.now, eliciting=True, in_flight=True)
                recovery._pacer.update_after_send(self.now, SIZE)
                self._free_at = max(self._free_at, self.now) + SIZE / self.rate
                if lose is None or self._number % lose:
                    self._arriving.append((self._free_at + RTT, self._number))
                self._number += 1
            if most < math.inf:
                recovery.on_app_limited()


def test_a_sample_is_what_was_delivered_in_the_time_it_took() -> None:
    rate = DeliveryRate()
    flight = 0
    sent = []
    for index in range(10):
        sent.append(rate.departs(SIZE, in_flight=flight, now=index * 0.01))
        flight += SIZE
    for index, packet in enumerate(sent):
        rate.arrives(packet, 0.1 + index * 0.02)  # half as fast as they were sent
    sample = rate.sample(min_rtt=0.05)
    assert sample is not None
    assert sample.rate == pytest.approx(10 * SIZE / (0.1 + 9 * 0.02))
    assert (sample.acked, sample.delivered) == (10 * SIZE, 10 * SIZE)
    assert rate.sample(min_rtt=0.05) is None


def test_a_sample_shorter_than_a_round_trip_says_nothing_of_the_rate() -> None:
    rate = DeliveryRate()
    rate.arrives(rate.departs(SIZE, in_flight=0, now=0.0), 0.01)
    sample = rate.sample(min_rtt=0.05)
    assert sample is not None
    assert sample.rate == 0.0


def test_the_rate_and_the_round_trip_of_a_path_are_found() -> None:
    path = Path()
    path.run(4.0)
    model = path.control._model
    assert path.control._state in PROBE_BW
    assert model.max_bw == pytest.approx(RATE, rel=0.05)
    assert model.trips.least == pytest.approx(RTT, rel=0.05)
    assert path.control.bytes_in_flight < 1.5 * RATE * RTT


def test_a_path_that_has_become_twice_as_fast_is_found_by_one_probe() -> None:
    path = Path()
    path.run(3.0)
    path.rate = 2 * RATE
    path.run(4.0)
    assert path.control._model.max_bw == pytest.approx(path.rate, rel=0.05)


def test_random_losses_do_not_slow_it_down() -> None:
    path = Path()
    path.run(3.0, lose=33)
    model = path.control._model
    assert model.losses.floor == pytest.approx(0.03, abs=0.01)
    assert model.bw > 0.9 * RATE


def test_what_is_sent_with_little_to_send_does_not_lower_the_rate() -> None:
    path = Path()
    path.run(3.0)
    path.run(3.0, most=3 * SIZE)
    assert path.control._model.max_bw > 0.9 * RATE


def test_without_a_sight_of_it_the_shortest_round_trip_is_looked_for() -> None:
    path = Path()
    path.run(2.0)
    trips = path.control._model.trips
    trips.least = trips.probed = RTT / 2
    seen = set()
    for _ in range(80):
        path.run(0.1)
        seen.add(path.control._state)
    assert State.PROBE_RTT in seen
    assert path.control._state is not State.PROBE_RTT


def test_one_round_of_losses_without_growth_does_not_end_startup() -> None:
    path = Path()
    path.run(4 * RTT)
    control, rounds = path.control, path.control._model.round_count
    assert control._state is State.STARTUP
    control._startup_bw = math.inf  # it grows no more, ...
    control._model.is_too_high = lambda *_: True  # type: ignore[method-assign]  # ... and loses
    lossy = []
    while control._state is State.STARTUP:
        path.run(0.001)
        lossy.append(control._startup_losses)
    assert set(lossy) == {0, 1, 2}
    assert control._model.round_count == rounds + 2


def test_what_startup_has_lost_does_not_lower_the_rate_afterwards() -> None:
    path = Path()
    path.run(4 * RTT)
    control = path.control
    control._full_reached = True
    path.run(RTT)
    assert control._state is not State.STARTUP
    before, after = departure(in_flight=10 * SIZE), departure(in_flight=10 * SIZE)
    before.delivered = control._startup_ends_at - SIZE
    after.delivered, after.lost = control._startup_ends_at - SIZE, SIZE
    assert not control._is_of_now(before)
    assert control._is_of_now(after)


def test_when_more_is_tried_is_the_same_in_each_run_and_another_for_each_link() -> None:
    waits = []
    for later in (0.0, 0.0, 0.01):
        path = Path()
        path.now += later
        path.run(2.5)
        assert path.control._state in PROBE_BW
        waits.append(path.control._probe_wait)
    assert waits[0] == waits[1] != waits[2]


def test_losses_without_a_queue_are_congestion_only_if_they_are_heavy() -> None:
    model = Model(0.0)
    model.add_round_trip(RTT, 0.0)
    packet = departure(in_flight=100 * SIZE)
    assert not model.is_too_high(14 * SIZE, packet)
    assert model.is_too_high(16 * SIZE, packet)
    assert not model.is_too_high(3 * SIZE, departure(in_flight=10 * SIZE))


def test_beside_a_queue_they_are_beyond_the_thresholds() -> None:
    model = Model(0.0)
    model.add_round_trip(RTT, 0.0)
    model.add_round_trip(1.5 * RTT, 0.1)
    packet = departure(in_flight=1000 * SIZE)
    assert not model.is_too_high(19 * SIZE, packet)
    assert model.is_too_high(21 * SIZE, packet)


def test_a_new_path_is_learnt_from_the_beginning() -> None:
    path = Path()
    path.run(3.0)
    path.trace.recovery.meet_new_path(path.now, datagram_size=SIZE)
    assert path.control._state is State.STARTUP
    assert path.control._model.max_bw == 0.0
    path.run(3.0)
    assert path.control._model.max_bw == pytest.approx(RATE, rel=0.05)


def test_however_low_the_rate_has_fallen_acknowledgements_keep_coming() -> None:
    path = Path()
    path.run(2.0)
    control = path.control
    control._model.bw_short = 1.0  # a byte a second: the next packet would be half an hour away
    control._set_pacing_rate()
    assert control.pacing_rate is not None
    assert control.pacing_rate >= 4 * SIZE / control._model.trips.latest
    path.run(4.0)
    assert control._model.bw > 0.9 * RATE


def test_more_is_tried_until_packets_wait() -> None:
    path = Path()
    path.run(3.0)
    control = path.control
    control._up_since = 0.0
    control.bytes_in_flight = 10 * int(RATE * RTT)
    for rtt, has_found in ((RTT, False), (1.1 * RTT, False), (1.1 * RTT, True)):
        path.now += 2 * RTT
        control._model.add_round_trip(rtt, path.now)
        for is_full in (False, True):
            control._full_now = is_full
            assert control._has_found_all(path.now) is has_found
    control.bytes_in_flight = 0
    assert control._has_found_all(path.now), "it does not grow"
    control._full_now = False
    assert not control._has_found_all(path.now)


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        (200_000, 150_000),
        (110_000, 93_500),  # a queue that overflows at once: of the path no more than the draft
        (130_000, 100_000),  # the path itself
        (4_000, 4 * SIZE),
    ],
)
def test_a_quarter_of_a_queue_is_left_to_others_and_less_of_a_path(bound: int, kept: int) -> None:
    control = Bbr(max_datagram_size=SIZE)
    control._model.trips.add(0.1, 0.0)
    control._model.rates.best = 1_000_000.0
    control._model.inflight_long = bound
    assert control._with_headroom() == pytest.approx(kept)


def test_without_a_bound_there_is_no_headroom() -> None:
    assert Bbr(max_datagram_size=SIZE)._with_headroom() == math.inf
