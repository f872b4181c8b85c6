"""The line between real kernels: its packets' order and counts in virtual time, and one real run.

What is bounded there is what no machine can miss, however slow: a line is never faster than it is
said to be, and never shorter.
"""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic

import pytest

from bench.hosts import what_is_missing
from bench.line import real
from bench.line.clients import attend
from bench.line.emulator import FOREVER, LATE, Direction, Emulator, unseen_since
from bench.line.line import MBIT, Line, Way

LINE = Line(rate=10 * MBIT, rtt=0.040)
PACKET = bytes(1250)
"""It takes 1 ms of the line."""


def test_packets_leave_in_order_when_they_arrive():
    direction = Direction(Way(LINE, seed=1))
    assert direction.next_at() == FOREVER
    for first in b"abc":
        direction.enter([bytes([first]) + PACKET[1:]], since=1.0, now=1.0)
    assert direction.next_at() == pytest.approx(1.021)
    assert direction.leaving(1.0205) == []
    assert [packet[:1] for packet in direction.leaving(1.0225)] == [b"a", b"b"]
    assert [packet[:1] for packet in direction.leaving(1.0235)] == [b"c"]
    assert direction.passed == 3
    assert direction.late == 0


def test_the_line_goes_on_while_its_emulator_stands_still():
    direction = Direction(Way(LINE, seed=1))
    direction.enter([PACKET] * 4, since=1.0, now=1.010)
    assert direction.way.waits.since(0) == [0.0] * 4, "they came 2.5 ms after one another"
    assert direction.next_at() == pytest.approx(1.030), "no sooner than if they had come now"
    assert len(direction.leaving(1.0305)) == 3
    assert direction.next_at() == pytest.approx(1.031)


@pytest.mark.parametrize(
    ("asked_at", "wait", "now", "since"),
    [
        (1.0, 0.5, 1.0001, 0.9),  # nobody looked between 0.9 and 1.0
        (1.0, 0.0, 1.02, 0.9),  # nor up to 1.02
        (1.0, 0.5, 1.02, 1.02),  # it waited for them
        (1.0, FOREVER, 7.0, 7.0),
        (1.0, 0.5, 1.52, 1.5),  # it should have gone on at 1.5
    ],
)
def test_what_was_waited_for_has_come_now(asked_at, wait, now, since):
    assert unseen_since(0.9, asked_at, wait, now) == since


def test_what_is_handed_over_late_is_counted():
    direction = Direction(Way(LINE, seed=1))
    direction.enter([PACKET, PACKET], since=1.0, now=1.0)
    direction.leaving(1.0215 + LATE)
    assert direction.late == 1


def test_the_emulator_counts_from_each_mark_on_and_changes_its_line():
    emulator = Emulator((10, 11), LINE, seed=1)
    emulator.up.enter([PACKET] * 3, since=0.0, now=0.0)
    emulator.up.leaving(1.0)
    found = emulator.obey(mark=True)
    assert found["passed"] == 3
    assert found["queueing"] == pytest.approx(0.001)
    slower = asdict(Line(rate=MBIT, rtt=0.040))
    assert emulator.obey(line=slower)["passed"] == 0
    emulator.up.enter([PACKET], since=1.0, now=2.0)
    assert emulator.up.next_at() == pytest.approx(2.030)


def test_a_real_line_is_as_fast_and_as_long_as_it_is_said_to_be():
    if missing := what_is_missing():
        pytest.skip(missing)
    with real.laid(LINE, seed=1) as run:
        to = run.stand(real.DIRECT_CUBIC)
        typist = run.typist(to, seed=1)
        began = monotonic()
        download = run.download(to)
        while len(typist.times) < 5 or not download.came_at:
            attend([download], 0.1, typist)
        came = download.bytes_between(0, monotonic())
        assert 0 < came < LINE.rate * (monotonic() - began)
        assert min(typist.times) >= LINE.rtt
