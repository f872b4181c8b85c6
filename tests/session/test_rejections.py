"""A flood of rejected clients fills no log."""

from __future__ import annotations

from quictunnel.events import ClientRejected
from quictunnel.session.rejections import INTERVAL, MAX_REPORTS, RejectionReporter
from testkit.clock import seconds, virtual_time


@virtual_time
async def test_few_rejections_are_reported_one_by_one():
    events = []
    reporter = RejectionReporter(events.append)
    for number in range(MAX_REPORTS):
        reporter.report(f"192.0.2.{number}:1", "no")
    assert events == [ClientRejected(f"192.0.2.{n}:1", "no", 0) for n in range(MAX_REPORTS)]
    await seconds(2 * INTERVAL)
    assert len(events) == MAX_REPORTS


@virtual_time
async def test_of_many_the_rest_is_counted():
    events = []
    reporter = RejectionReporter(events.append)
    for minute in range(3):
        for _ in range(1000):
            reporter.report("192.0.2.7:1", f"no {minute}")
        await seconds(INTERVAL + 1)
        assert len(events) == (minute + 1) * (MAX_REPORTS + 1)
        assert events[-1] == ClientRejected("192.0.2.7:1", f"no {minute}", 999 - MAX_REPORTS)


@virtual_time
async def test_at_the_end_the_rest_is_reported_at_once():
    events = []
    reporter = RejectionReporter(events.append)
    for _ in range(MAX_REPORTS + 5):
        reporter.report("192.0.2.7:1", "no")
    reporter.close()
    assert events[-1].suppressed == 4
    reporter.close()
    assert len(events) == MAX_REPORTS + 1
