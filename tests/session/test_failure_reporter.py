"""A flood of failures fills no log, and every failure is counted."""

from __future__ import annotations

import asyncio
from dataclasses import fields

import pytest

from quictunnel.events import (
    ClientClosed,
    ClientEnding,
    ClientLimitReached,
    ClientRejected,
    DropKind,
    HelloTimedOut,
    LinkAttemptFailed,
    OriginRejected,
    PeerDropped,
    ProofFailed,
    ProtocolViolated,
    RefusalKind,
)
from quictunnel.session.failure_reporter import (
    GROUPS,
    INTERVAL,
    MAX_REPORTS,
    MAX_SUMS,
    FailureReporter,
)
from testkit.clock import seconds, virtual_time

MAX_LINES = 10
"""Lines of one group of failures in any minute."""


class Log:
    """The events that a reporter has passed on, and when."""

    def __init__(self) -> None:
        self.events = []
        self._times = []
        self.reporter = FailureReporter(self._emit)

    def _emit(self, event):
        self.events.append(event)
        self._times.append(asyncio.get_running_loop().time())

    @property
    def total(self) -> int:
        """The number of failures in the log."""
        return sum(1 + event.suppressed for event in self.events)

    @property
    def busiest_minute(self) -> int:
        """The most events in any minute."""
        almost = 59.99  # timers may fire a little early
        return max(sum(start <= at < start + almost for at in self._times) for start in self._times)


@pytest.fixture
def log():
    return Log()


def rejected(host: str = "192.0.2.7", reason: str = "no", suppressed: int = 0) -> ClientRejected:
    return ClientRejected(f"{host}:1", reason, ClientEnding.POLICY, suppressed)


def proof_failed(peer: str) -> ProofFailed:
    return ProofFailed("box", "t1", peer, "token not accepted", 1, 1, RefusalKind.BAD_TOKEN)


@virtual_time
async def test_few_failures_of_different_sources_are_reported_one_by_one(log):
    expected = [rejected(f"192.0.2.{number}") for number in range(MAX_REPORTS)]
    for event in expected:
        log.reporter(event)
    assert log.events == expected
    await seconds(2 * INTERVAL)
    assert log.events == expected


@virtual_time
async def test_a_source_is_reported_once_a_minute_and_then_counted(log):
    for minute in range(3):
        for _ in range(1000):
            log.reporter(rejected(reason=f"no {minute}"))
        await seconds(INTERVAL + 1)
        assert log.events[2 * minute :] == [
            rejected(reason=f"no {minute}"),
            rejected(reason=f"no {minute}", suppressed=998),
        ]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("[2001:db8::1]", "[2001:db8::ffff:2]", True),
        ("[2001:db8::1]", "[2001:db8:0:1::1]", False),
        ("[fe80::1%eth0]", "[fe80::2%eth0]", True),
    ],
)
@virtual_time
async def test_the_source_is_an_ipv4_address_or_the_64_of_an_ipv6_address(one, other, is_same):
    log = Log()
    log.reporter(rejected(one))
    log.reporter(rejected(other))
    assert len(log.events) == 1 if is_same else 2


@virtual_time
async def test_kinds_of_failures_of_one_source_are_reported_apart(log):
    peer = "192.0.2.7:1"
    for _ in range(2):
        log.reporter(HelloTimedOut(peer))
        log.reporter(ProtocolViolated(peer, "garbage"))
    assert log.events == [HelloTimedOut(peer), ProtocolViolated(peer, "garbage")]
    await seconds(INTERVAL)
    assert log.events[2:] == log.events[:2]


@virtual_time
async def test_other_failures_of_links_do_not_hide_failed_proofs(log):
    for number in range(100):
        log.reporter(PeerDropped(f"10.0.0.{number}", "too many links", DropKind.LINKS))
    failures = [proof_failed(f"10.0.1.{n}:1") for n in range(5)]
    for failure in failures:
        log.reporter(failure)
    assert log.events[-5:] == failures


@virtual_time
async def test_ten_thousand_sources_and_all_kinds_take_few_lines(log):
    total = 0
    for number in range(100_000):
        source = number % 10_000
        peer = f"10.0.{source // 256}.{source % 256}:1"
        log.reporter(
            [
                PeerDropped(peer, "too many links", DropKind.LINKS),
                OriginRejected("box", "t1", peer, "no", RefusalKind.NOT_ALLOWED),
                HelloTimedOut(peer),
                ProtocolViolated(peer, "garbage"),
            ][number % 4]
        )
        total += 1
        await asyncio.sleep(0.005)
    await seconds(2 * INTERVAL)
    assert log.busiest_minute <= MAX_LINES
    assert log.total == total


@virtual_time
async def test_failures_of_different_kinds_are_counted_apart(log):
    kinds = [ClientEnding.POLICY, ClientEnding.LIMIT, ClientEnding.UNKNOWN_HOST]
    for number in range(MAX_REPORTS):
        log.reporter(rejected(f"192.0.2.{number}"))
    for number in range(90):
        log.reporter(ClientRejected("192.0.2.7:1", "no", kinds[number % 3]))
    await seconds(INTERVAL)
    sums = [(event.kind, event.suppressed) for event in log.events[MAX_REPORTS:]]
    assert sums == [(kind, 29) for kind in kinds]


@virtual_time
async def test_many_kinds_are_counted_together(log):
    kinds = list(ClientEnding)
    for number in range(10 * len(kinds)):
        log.reporter(ClientRejected("192.0.2.7:1", "no", kinds[number % len(kinds)]))
    log.reporter(ClientLimitReached(960, 0))
    await seconds(INTERVAL)
    assert log.busiest_minute <= MAX_LINES
    assert log.total == 10 * len(kinds) + 1


@virtual_time
async def test_a_flood_of_clients_hides_no_failed_proof(log):
    for number in range(1000):
        log.reporter(rejected(f"192.0.{number // 256}.{number % 256}"))
    failure = proof_failed("192.0.2.7:1")
    log.reporter(failure)
    assert log.events[-1] == failure


@virtual_time
async def test_a_remote_that_words_each_refusal_differently_fills_no_log(log):
    for number in range(100):
        log.reporter(LinkAttemptFailed("vps:9001", f"no {number}", beside_silent_link=False))
    await seconds(INTERVAL)
    assert len(log.events) == MAX_REPORTS + 1
    assert log.total == 100


@virtual_time
async def test_other_events_are_passed_on(log):
    closed = ClientClosed(
        "192.0.2.7:1", "web", "ab12", 1, 1, 0.1, "ended in order", ClientEnding.EOF
    )
    for _ in range(100):
        log.reporter(closed)
    assert log.events == [closed] * 100


@virtual_time
async def test_at_the_end_the_rest_is_reported_at_once(log):
    for _ in range(10):
        log.reporter(rejected())
    log.reporter.close()
    assert log.total == 10
    log.reporter.close()
    assert log.total == 10


@pytest.mark.parametrize("kind", [kind for group in GROUPS for kind in group])
def test_each_limited_event_can_carry_a_count(kind):
    assert "suppressed" in {field.name for field in fields(kind)}


def test_the_kinds_of_a_group_leave_room_for_their_sums():
    assert MAX_REPORTS + MAX_SUMS <= MAX_LINES
    assert all(len(group) <= MAX_SUMS for group in GROUPS)
