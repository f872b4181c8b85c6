"""Silence and its end: the arithmetic by itself, and on links under virtual time."""

from __future__ import annotations

import asyncio

from link_pair import LinkPair, Spied, over_links, seconds, until
from pair import Engines

from quictunnel.quic.path.liveness import (
    ACCEPTOR_PATIENCE,
    ANSWER_WITHIN,
    CONFIRMATION_ANSWER,
    CONFIRMATION_INTERVAL,
    LATE_PACKETS,
    PING_AFTER,
    SUSPICION_INTERVAL,
    Liveness,
    Step,
)

PTO = 0.1


def test_quiet_is_asked_about_and_an_answer_suffices() -> None:
    liveness = Liveness(0.0)
    assert liveness.deadline(PTO) == PING_AFTER
    assert liveness.check(PING_AFTER - 0.1, PTO) is Step.NOTHING
    assert liveness.check(PING_AFTER, PTO) is Step.PING
    assert liveness.answered(PING_AFTER + 0.1) is Step.NOTHING
    assert liveness.deadline(PTO) == PING_AFTER + 0.1 + PING_AFTER
    assert liveness.silent_since is None


def test_no_answer_in_time_is_silence() -> None:
    liveness = Liveness(0.0)
    liveness.check(PING_AFTER, PTO)
    assert liveness.check(PING_AFTER + ANSWER_WITHIN - 0.1, PTO) is Step.NOTHING
    assert liveness.check(PING_AFTER + ANSWER_WITHIN, PTO) is Step.SILENT
    assert liveness.silent_since == 0.0, "since it was last heard"


def test_a_silent_peer_is_asked_again() -> None:
    liveness = Liveness(0.0)
    now = 0.0
    steps = []
    for _ in range(4):
        now = liveness.deadline(PTO)
        steps.append(liveness.check(now, PTO))
    assert steps == [Step.PING, Step.SILENT, Step.PING, Step.PING]
    liveness.heard(now)
    assert liveness.silent_since is not None, "it speaks, but does it hear us?"
    assert liveness.answered(now) is Step.BACK
    assert liveness.silent_since is None


def test_data_that_is_not_answered_counts_like_a_ping() -> None:
    liveness = Liveness(0.0)
    liveness.heard(3.0)
    liveness.sent(3.5)
    liveness.sent(5.0)
    assert liveness.deadline(PTO) == 3.5 + ANSWER_WITHIN
    assert liveness.check(3.5 + ANSWER_WITHIN, PTO) is Step.SILENT


def test_a_slow_path_has_three_probe_timeouts() -> None:
    liveness = Liveness(0.0)
    liveness.sent(1.0)
    assert liveness.deadline(2.0) == 1.0 + 3 * 2.0


def confirmed(liveness: Liveness, now: float) -> list[tuple[float, Step]]:
    """Return the actions after a report of a closed port that is not answered, and their times."""
    steps = [(now, liveness.suspect(now))]
    while steps[-1][1] is not Step.DEAD:
        now = liveness.deadline(PTO)
        steps.append((now, liveness.check(now, PTO)))
    return steps


def test_a_confirmation_outlasts_the_wait_of_an_idle_peer() -> None:
    """A router that has forgotten the peer rejects pings until the peer sends its own."""
    assert 2 * CONFIRMATION_INTERVAL + CONFIRMATION_ANSWER >= PING_AFTER + 1.0


def test_a_closed_port_is_confirmed_by_three_pings_in_3_s() -> None:
    liveness = Liveness(0.0, ping_after=60.0)
    steps = confirmed(liveness, 1.0)
    pinged_at = [1.0, 1.0 + CONFIRMATION_INTERVAL, 1.0 + 2 * CONFIRMATION_INTERVAL]
    assert steps[:3] == [(at, Step.PING) for at in pinged_at]
    assert pinged_at[-1] == 4.0
    assert steps[3:] == [(4.0 + CONFIRMATION_ANSWER, Step.DEAD)]


def test_a_slow_path_has_three_probe_timeouts_to_disprove_a_closed_port() -> None:
    liveness = Liveness(0.0)
    liveness.suspect(0.0)
    liveness.check(CONFIRMATION_INTERVAL, 2.0)
    last = 2 * CONFIRMATION_INTERVAL
    liveness.check(last, 2.0)
    assert liveness.check(last + 5.9, 2.0) is not Step.DEAD
    assert liveness.check(last + 6.0, 2.0) is Step.DEAD


def test_anything_heard_disproves_a_closed_port() -> None:
    liveness = Liveness(0.0)
    assert liveness.suspect(1.0) is Step.PING
    assert liveness.check(1.0 + CONFIRMATION_INTERVAL, PTO) is Step.PING
    liveness.heard(2.6)
    assert liveness.check(1.0 + 2 * CONFIRMATION_INTERVAL, PTO) is Step.NOTHING
    assert liveness.deadline(PTO) == 2.6 + PING_AFTER


def test_packets_that_the_report_has_overtaken_disprove_nothing() -> None:
    liveness = Liveness(0.0)
    assert liveness.suspect(1.0) is Step.PING
    liveness.heard(1.0 + LATE_PACKETS)
    steps = []
    while Step.DEAD not in steps:
        steps.append(liveness.check(now := liveness.deadline(PTO), PTO))
    assert now == 1.0 + 2 * CONFIRMATION_INTERVAL + CONFIRMATION_ANSWER


def test_forged_reports_cost_two_pings_in_5_s() -> None:
    liveness = Liveness(0.0, ping_after=60.0)
    pings = 0
    for tenth in range(300):
        now = tenth / 10
        for step in (liveness.suspect(now), liveness.check(now + 0.01, PTO)):
            if step is Step.PING:
                pings += 1
                liveness.heard(now + 0.05)
    assert pings == 2 * 30 / SUSPICION_INTERVAL


def test_a_closed_port_of_a_silent_peer_means_nothing() -> None:
    """Its address may belong to another machine by now."""
    liveness = Liveness(0.0)
    liveness.sent(0.0)
    assert liveness.check(ANSWER_WITHIN, PTO) is Step.SILENT
    assert liveness.suspect(10.0) is Step.NOTHING
    assert liveness.answered(60.0) is Step.BACK
    assert liveness.suspect(61.0) is Step.PING


def test_a_peer_that_goes_silent_meanwhile_is_dead_all_the_same() -> None:
    liveness = Liveness(0.0)
    liveness.sent(0.5)
    steps = confirmed(liveness, 1.0)
    assert [step for _, step in steps if step is not Step.PING] == [Step.SILENT, Step.DEAD]
    assert steps[-1][0] == 1.0 + 2 * CONFIRMATION_INTERVAL + CONFIRMATION_ANSWER


def test_another_path_ends_the_suspicion() -> None:
    liveness = Liveness(0.0)
    liveness.suspect(1.0)
    liveness.trust_again()
    assert liveness.deadline(PTO) == PING_AFTER


@over_links
async def test_an_outage_is_noticed_at_both_ends_and_its_end_too(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    loop = asyncio.get_running_loop()
    pair.network.cut = True
    since = loop.time()
    await until(lambda: pair.client.is_silent)
    assert loop.time() - since <= PING_AFTER + ANSWER_WITHIN + 0.1
    assert pair.client.silent_since <= since
    await until(lambda: pair.server.is_silent)
    assert loop.time() - since <= PING_AFTER + ACCEPTOR_PATIENCE + ANSWER_WITHIN + 0.1
    await seconds(100)
    pair.network.cut = False
    await until(lambda: not (pair.client.is_silent or pair.server.is_silent), limit=10)
    for session in (pair.client_session, pair.server_session):
        assert session.calls == ["link_made", "link_silent", "link_back"]


@over_links
async def test_with_data_under_way_an_outage_is_noticed_sooner(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    loop = asyncio.get_running_loop()
    ours, theirs = await pair.streams()
    pair.network.cut = True
    ours.stream.write(b"into the dark")
    since = loop.time()
    await until(lambda: pair.client.is_silent)
    assert loop.time() - since <= ANSWER_WITHIN + 0.1
    assert ours.stream.is_silent
    await seconds(60)
    assert not ours.lost
    pair.network.cut = False
    await until(lambda: theirs.data == b"into the dark", limit=60)
    await until(lambda: not ours.stream.is_silent, limit=1)  # the answer may be under way still


@over_links
async def test_a_busy_link_asks_nothing(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams()
    pings: list[str] = []
    for link in (pair.client, pair.server):
        link.engine = Spied(link.engine, ping=lambda: pings.append("ping"))
    for _ in range(30):
        ours.stream.write(b"tick")
        await seconds(1)
    assert pings == []


@over_links
async def test_a_quiet_link_asks_now_and_then_and_mostly_from_one_end(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    sent = [len(end.batches) for end in (pair.client_socket, pair.server_socket)]
    await seconds(50)
    for end, before in zip((pair.client_socket, pair.server_socket), sent, strict=True):
        assert 5 <= len(end.batches) - before <= 25
    assert pair.client_session.calls == ["link_made"]


@over_links
async def test_after_a_long_outage_data_moves_though_no_end_has_moved(engines: Engines) -> None:
    """Windows are full of what was lost: the questions must get through all the same."""
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    for end in (ours, theirs):
        end.stream.write(bytes(4_000_000))
    await seconds(0.1)
    pair.network.cut = True
    await seconds(300)
    pair.network.cut = False
    before = len(ours.data), len(theirs.data)
    await until(lambda: len(ours.data) > before[0] and len(theirs.data) > before[1], limit=2)
    await until(lambda: len(ours.data) == len(theirs.data) == 4_000_000, limit=10)
