"""Which acknowledgements are answers to what was sent."""

from __future__ import annotations

import asyncio
import socket

import pytest
from link_pair import LinkPair, Recorder, over_links, seconds, settle
from pair import Engines

from quictunnel.quic.awaited_answers import AwaitedAnswers


class Waiter:
    """Counts its answers."""

    def __init__(self) -> None:
        self.answers = 0

    def answered(self) -> None:
        self.answers += 1


class Connection:
    """An engine with a round-trip time of 40 ms."""

    def __init__(self) -> None:
        self.rtt: float | None = 0.04
        self.unacknowledged = True


@pytest.fixture
def awaited():
    return AwaitedAnswers[Waiter]()


@pytest.mark.parametrize(
    ("after", "unacknowledged", "answers"),
    [(0.0, True, 0), (0.019, True, 0), (0.02, True, 1), (5.0, True, 1), (0.0, False, 1)],
)
def test_an_acknowledgement_counts_if_it_can_have_seen_what_was_sent(
    awaited, after, unacknowledged, answers
):
    waiter, connection = Waiter(), Connection()
    awaited.add(waiter)
    awaited.sent(10.0)
    connection.unacknowledged = unacknowledged
    awaited.acknowledged(10.0 + after, connection)
    assert waiter.answers == answers
    assert list(awaited) == ([] if answers else [waiter])


def test_without_a_round_trip_time_every_acknowledgement_counts(awaited):
    waiter, connection = Waiter(), Connection()
    connection.rtt = None
    awaited.add(waiter)
    awaited.sent(10.0)
    awaited.acknowledged(10.0, connection)
    assert waiter.answers == 1


def test_what_was_not_sent_is_not_answered(awaited):
    waiter, connection = Waiter(), Connection()
    connection.unacknowledged = False
    awaited.add(waiter)
    awaited.acknowledged(10.0, connection)
    assert waiter.answers == 0
    assert list(awaited) == [waiter]


def test_each_waiter_is_answered_once_and_in_order(awaited):
    waiters, connection = [Waiter() for _ in range(4)], Connection()
    awaited.add(waiters[0])
    awaited.add(waiters[1])
    awaited.sent(10.0)
    awaited.add(waiters[2])
    awaited.sent(10.03)
    awaited.add(waiters[3])
    assert list(awaited) == waiters
    awaited.acknowledged(10.03, connection)
    assert [waiter.answers for waiter in waiters] == [1, 1, 0, 0]
    awaited.acknowledged(10.06, connection)
    assert [waiter.answers for waiter in waiters] == [1, 1, 1, 0]


@over_links
async def test_a_link_reports_the_answer_of_its_peer(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    await seconds(1)
    awaited: AwaitedAnswers[Waiter] = AwaitedAnswers()
    pair.server.acknowledgements = awaited
    waiter = Waiter()
    pair.server.open_stream(Recorder()).write(b"question")
    awaited.add(waiter)
    await settle()
    assert waiter.answers == 0
    await seconds(1)
    assert waiter.answers == 1


@over_links
async def test_packets_in_flight_of_a_dead_peer_are_no_answer(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    for _ in range(100):
        for stream in (ours.stream, theirs.stream):
            stream.write(b"x")
        await seconds(0.001)
    pair.network.cut = True
    awaited: AwaitedAnswers[Waiter] = AwaitedAnswers()
    pair.server.acknowledgements = awaited
    waiter = Waiter()
    pair.server.open_stream(Recorder()).write(b"question")
    awaited.add(waiter)
    before, answered_at = len(theirs.data), pair.server.engine.answered_at
    await seconds(5)
    assert len(theirs.data) > before
    assert pair.server.engine.answered_at > answered_at
    assert pair.server.is_silent
    assert waiter.answers == 0


@over_links
async def test_a_process_that_was_stopped_reads_before_it_calls_its_peer_silent(
    engines: Engines,
) -> None:
    """When it continues, epoll_wait(2) reports no event at first, but timers are due."""
    pair = await LinkPair.made(engines=engines)
    awaited: AwaitedAnswers[Waiter] = AwaitedAnswers()
    pair.server.acknowledgements = awaited
    waiter, unread = Waiter(), []
    arrive, pair.server_socket._arrive = pair.server_socket._arrive, unread.append
    pair.server.open_stream(Recorder()).write(b"question")
    awaited.add(waiter)
    await seconds(1)
    assert unread
    readable, writer = socket.socketpair()
    loop = asyncio.get_running_loop()

    def read() -> None:
        loop.remove_reader(readable)
        for datagram in unread:
            arrive(datagram)

    loop.add_reader(readable, read)
    try:
        loop.jump(5)
        loop.call_soon(writer.send, b"!")
        await settle()
        assert waiter.answers == 1
        assert "link_silent" not in pair.server_session.calls
    finally:
        readable.close()
        writer.close()
