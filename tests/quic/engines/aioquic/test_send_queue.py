"""Which stream sends next: each in turn, and first the one that had nothing to send."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from quictunnel.quic.engines.aioquic.send_queue import SendQueue


def stream(number: int) -> Any:
    return SimpleNamespace(id=number, wants_to_send=True)


def served(queue: SendQueue, count: int) -> list[int]:
    """Give `count` turns, and return whose they were."""
    numbers = []
    for _ in range(count):
        head = queue.head()
        numbers.append(head.id)
        queue.end_turn(head)
    return numbers


def queue_of(*streams: Any) -> SendQueue:
    queue = SendQueue()
    for one in streams:
        queue.add(one)
    return queue


def test_streams_take_turns_in_the_order_in_which_they_came() -> None:
    queue = queue_of(stream(8), stream(0), stream(4))
    assert served(queue, 7) == [8, 0, 4, 8, 0, 4, 8]


def test_a_stream_that_was_idle_goes_first_once() -> None:
    queue = queue_of(stream(0), stream(4))
    assert served(queue, 3) == [0, 4, 0]
    queue.add(stream(8))
    assert served(queue, 4) == [8, 4, 0, 8]


def test_a_stream_that_waits_gains_nothing_by_writing_more() -> None:
    first, second = stream(0), stream(4)
    queue = queue_of(first, second)
    assert served(queue, 2) == [0, 4]
    queue.add(second)
    assert served(queue, 2) == [0, 4]
    assert len(queue) == 2


def test_a_stream_with_nothing_more_to_send_leaves() -> None:
    one = stream(0)
    queue = queue_of(one)
    one.wants_to_send = False
    queue.end_turn(one)
    assert not queue


def test_a_blocked_stream_has_no_turn_until_its_limit_is_raised() -> None:
    first, second = stream(0), stream(4)
    queue = queue_of(first, second)
    queue.block(first)
    assert served(queue, 2) == [4, 4]
    queue.unblock(0)
    assert sorted(served(queue, 2)) == [0, 4]
    queue.unblock(0)  # it waits already
    assert len(queue) == 2


def test_streams_that_wait_for_the_links_limit_are_queued_again_in_order() -> None:
    streams = [stream(number) for number in (0, 4, 8)]
    queue = queue_of(*streams)
    for one in streams:
        queue.block(one, by_link=True)
    assert not queue
    queue.unblock_starved(2)
    assert served(queue, 3) == [0, 4, 0]
    queue.unblock_starved(2)
    assert served(queue, 3) == [4, 0, 8]


def test_the_links_limit_does_not_unblock_a_stream_that_waits_for_its_own() -> None:
    one = stream(0)
    queue = queue_of(one)
    queue.block(one)
    queue.unblock_starved(1)
    assert not queue


def test_a_blocked_stream_with_a_reset_to_send_is_queued_again() -> None:
    one = stream(0)
    queue = queue_of(one)
    queue.block(one)
    queue.add(one)
    assert served(queue, 1) == [0]
    queue.remove(one)
    queue.unblock(0)
    assert not queue


def test_a_starved_stream_that_is_removed_does_not_come_back() -> None:
    one = stream(0)
    queue = queue_of(one)
    queue.block(one, by_link=True)
    queue.remove(one)
    queue.unblock_starved(1)
    assert not queue
