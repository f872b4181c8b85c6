"""The line between real kernels: order and counts of packets in virtual time, and one real run.

The bounds of the real run hold on any machine, however slow: a line is never faster than its rate
and never shorter than its round-trip time.
"""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic

import pytest

from bench.line import real
from bench.line.clients import attend
from bench.line.emulator import FOREVER, LATE, EmulatedDirection, Emulator, unseen_since
from bench.line.line import MBIT, Line
from testkit.namespaces import what_is_missing

LINE = Line(rate=10 * MBIT, rtt=0.040)
PACKET = bytes(1250)
"""A packet that takes 1 ms of the line."""


def test_packets_leave_in_order_at_their_time_of_arrival():
    direction = EmulatedDirection(LINE.network(seed=1), "up")
    assert direction.next_at() == FOREVER
    for first in b"abc":
        direction.enter([bytes([first]) + PACKET[1:]], since=1.0, now=1.0)
    assert direction.next_at() == pytest.approx(1.021)
    assert direction.leaving(1.0205) == []
    assert [packet[:1] for packet in direction.leaving(1.0225)] == [b"a", b"b"]
    assert [packet[:1] for packet in direction.leaving(1.0235)] == [b"c"]
    assert direction.passed == 3
    assert direction.late == 0


def test_the_line_keeps_working_while_its_emulator_is_suspended():
    direction = EmulatedDirection(LINE.network(seed=1), "up")
    direction.enter([PACKET] * 4, since=1.0, now=1.010)
    assert direction.state.waits_since(0) == [0.0] * 4, "they came 2.5 ms after one another"
    assert direction.next_at() == pytest.approx(1.030), "no sooner than if they had come now"
    assert len(direction.leaving(1.0305)) == 3
    assert direction.next_at() == pytest.approx(1.031)


@pytest.mark.parametrize(
    ("asked_at", "wait", "now", "since"),
    [
        (1.0, 0.5, 1.0001, 0.9),  # no look between 0.9 and 1.0
        (1.0, 0.0, 1.02, 0.9),  # nor up to 1.02
        (1.0, 0.5, 1.02, 1.02),  # the wait ended with them
        (1.0, FOREVER, 7.0, 7.0),
        (1.0, 0.5, 1.52, 1.5),  # the wait should have ended at 1.5
    ],
)
def test_packets_that_end_a_wait_have_come_now(asked_at, wait, now, since):
    assert unseen_since(0.9, asked_at, wait, now) == since


def test_late_packets_are_counted():
    direction = EmulatedDirection(LINE.network(seed=1), "up")
    direction.enter([PACKET, PACKET], since=1.0, now=1.0)
    direction.leaving(1.0215 + LATE)
    assert direction.late == 1


def test_the_emulator_counts_from_each_mark_and_changes_its_line():
    emulator = Emulator((10, 11), LINE, seed=1)
    emulator.up.enter([PACKET] * 3, since=0.0, now=0.0)
    emulator.up.leaving(1.0)
    found = emulator.execute(mark=True)
    assert found["passed"] == 3
    assert found["queueing"] == pytest.approx(0.001)
    slower = asdict(Line(rate=MBIT, rtt=0.040))
    assert emulator.execute(line=slower)["passed"] == 0
    emulator.up.enter([PACKET], since=1.0, now=2.0)
    assert emulator.up.next_at() == pytest.approx(2.030)


def test_a_real_line_has_its_rate_and_its_round_trip_time():
    if missing := what_is_missing():
        pytest.skip(missing)
    with real.line_run(LINE, seed=1) as run:
        to = run.start(real.DIRECT_CUBIC)
        typist = run.typist(to, seed=1)
        began = monotonic()
        download = run.download(to)
        while len(typist.times) < 5 or not download.came_at:
            attend([download], 0.1, typist)
        came = download.bytes_between(0, monotonic())
        assert 0 < came < LINE.rate * (monotonic() - began)
        assert min(typist.times) >= LINE.rtt
