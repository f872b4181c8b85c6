"""Timelines of links: samples, rates, loss, their number and their frequency."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from observed_role import ScriptedRole

from quictunnel.admin import link_history as module
from quictunnel.admin.link_changes import MAX_CHANGES, MAX_LINKS, LinkChanges
from quictunnel.admin.link_history import LinkHistory
from quictunnel.events import (
    InternalErrorOccurred,
    LinkMoved,
    LinkRecovered,
    LinkSilent,
    PathKind,
    PathReason,
    SignalReceived,
)
from testkit.clock import virtual_time
from testkit.snapshots import LINK


class Timelines:
    """A role with one link, its history, and the time."""

    def __init__(self, name: str = "remote") -> None:
        self.now = 1_000_000.0
        self.events = []
        self.role = ScriptedRole()
        self.changes = LinkChanges(lambda: self.now)
        self.history = LinkHistory(
            self.role, name, self.changes, emit=self.events.append, now=lambda: self.now
        )

    def sample(self, seconds: float = 1.0, **changes) -> None:
        self.now += seconds
        self.role.links = [replace(self.role.links[0], **changes)]
        self.history.sample()


@pytest.fixture
def timelines():
    return Timelines()


def silent(**more) -> LinkSilent:
    values = {"is_reminder": False, "link": "l1"} | more
    return LinkSilent("box", "t", "192.0.2.1:1", 3.0, 1, 800.0, **values)


def test_a_sample_has_what_has_happened_since_the_last_one(timelines):
    timelines.sample()
    timelines.sample(
        2.0,
        rtt=0.03125,
        bytes_sent=LINK.bytes_sent + 4000,
        bytes_received=LINK.bytes_received + 600,
        packets_sent=LINK.packets_sent + 8,
        packets_lost=LINK.packets_lost + 2,
        silent_for=4.0,
    )
    first, second = timelines.history.samples("l1")
    assert (first.time, first.rate_up, first.rate_down, first.loss) == (1_000_001.0, 0, 0, 0)
    assert (second.time, second.rtt, second.loss) == (1_000_003.0, 0.03125, 0.25)
    assert (second.rate_up, second.rate_down, second.silent) == (2000, 300, True)
    assert timelines.history.rates() == (2000, 300)


def test_at_an_origin_what_it_receives_goes_up():
    timelines = Timelines("origin")
    timelines.sample()
    timelines.sample(1.0, bytes_received=LINK.bytes_received + 600)
    assert timelines.history.rates() == (600, 0)


def test_a_link_without_a_round_trip_time_and_a_clock_that_goes_back(timelines):
    timelines.sample(rtt=None)
    timelines.sample(-60.0, bytes_sent=LINK.bytes_sent + 1)
    first, second = timelines.history.samples("l1")
    assert first.rtt is None
    assert second.rate_up >= 0


def test_samples_are_kept_for_ten_minutes(timelines):
    for _ in range(1500):
        timelines.sample(1.0)
    samples = timelines.history.samples("l1")
    assert samples[0].time == timelines.now - module.PERIOD
    assert len(samples) == module.PERIOD + 1
    numbers = timelines.history._timelines["l1"]._numbers
    assert len(numbers) <= 6 * (module.PERIOD + module._DROPPED)


def test_a_link_that_has_ended_is_dropped(timelines):
    timelines.sample()
    timelines.role.links = []
    timelines.history.sample()
    assert timelines.history.samples("l1") == []
    assert timelines.history.rates() == (0, 0)


def test_the_number_of_sampled_links_is_bounded_and_each_keeps_its_place(timelines):
    links = [replace(LINK, id=f"l{number}") for number in range(module.MAX_LINKS + 10)]
    timelines.role.links = links
    timelines.history.sample()
    timelines.role.links = links[5:]
    timelines.history.sample()
    kept = [link.id for link in links if timelines.history.samples(link.id)]
    assert len(kept) == module.MAX_LINKS
    assert kept == [link.id for link in links[5 : module.MAX_LINKS + 5]]


def test_changes_are_silences_recoveries_and_moves(timelines):
    for event in (
        silent(),
        silent(is_reminder=True),
        LinkRecovered("box", "t", "192.0.2.2:2", "192.0.2.1:1", 5.0, 1, "l1"),
        LinkMoved("box", "t", "192.0.2.3:3", "192.0.2.2:2", 1, "l1"),
        LinkMoved("box", "t", "192.0.2.3:3", "192.0.2.2:2", 1, "another"),
        SignalReceived("SIGTERM"),
    ):
        timelines.now += 1
        timelines.changes(event)
    found = timelines.history.changes("l1")
    assert [(each.kind, each.previous, each.current, each.seconds) for each in found] == [
        ("silent", None, "192.0.2.1:1", 3.0),
        ("recovered", "192.0.2.1:1", "192.0.2.2:2", 5.0),
        ("moved", "192.0.2.2:2", "192.0.2.3:3", None),
    ]
    timelines.now += 600
    assert timelines.history.changes("l1") == []


def test_changes_say_what_carries_the_link_and_why(timelines):
    timelines.changes(silent())
    kinds = (PathKind.WEBSOCKET, PathKind.UDP, PathReason.UDP_SILENT)
    timelines.changes(LinkRecovered("box", "t", "192.0.2.1:1", None, 5.0, 1, "l1", *kinds))
    first, second = timelines.history.changes("l1")
    assert (first.path, first.previous_path, first.reason) == (None, None, None)
    assert (second.path, second.previous_path) == ("websocket", "udp")
    assert second.reason == "UDP does not answer"


def test_the_number_of_changes_is_bounded(timelines):
    for link in range(2 * MAX_LINKS):
        timelines.changes(silent(link=f"l{link}"))
    for _ in range(2 * MAX_CHANGES):
        timelines.changes(silent(link="busy"))
    assert len(timelines.history.changes("busy")) == MAX_CHANGES
    assert len(timelines.changes._of) == MAX_LINKS


@virtual_time
async def test_samples_come_more_often_after_a_request():
    timelines = Timelines()
    loop = asyncio.get_running_loop()
    taken = []
    timelines.role.list_links = lambda: taken.append(loop.time()) or [LINK]
    timelines.history.start()
    await asyncio.sleep(11)
    assert taken == [0, 5, 10]
    timelines.history.watch()
    await asyncio.sleep(3.5)
    assert taken[3:] == [11, 12, 13, 14]
    await asyncio.sleep(100)
    assert taken[-1] - taken[-2] == 5
    await timelines.history.close()
    await timelines.history.close()


@virtual_time
async def test_a_failing_role_is_an_internal_error_and_ends_the_samples():
    timelines = Timelines()

    def fail():
        raise ZeroDivisionError

    timelines.role.list_links = fail
    timelines.history.start()
    await asyncio.sleep(20)
    assert [type(event) for event in timelines.events] == [InternalErrorOccurred]
    await timelines.history.close()
