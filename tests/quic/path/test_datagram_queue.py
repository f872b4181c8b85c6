"""The queue of a path: in order, at most 50 ms and 2 MiB, and a few datagrams in any case."""

from __future__ import annotations

from quictunnel.quic.path.datagram_queue import MAX_AGE, MAX_BYTES, MIN_BYTES, DatagramQueue

SIZE = 1000


def numbered(count, start=0):
    return [(start + index).to_bytes(2) + bytes(SIZE - 2) for index in range(count)]


def test_datagrams_leave_in_order():
    queue = DatagramQueue()
    sent = numbered(10)
    queue.add(sent[:3], 0.0)
    queue.add(sent[3:], 0.01)
    taken = []
    while queue:
        taken += queue.take(2500)
    assert taken == sent
    assert queue.size == 0
    assert queue.dropped == 0


def test_at_least_one_is_taken_and_at_most_about_the_limit():
    queue = DatagramQueue()
    queue.add(numbered(10), 0.0)
    assert len(queue.take(1)) == 1
    assert len(queue.take(2 * SIZE)) == 2
    assert len(queue.take(2 * SIZE + 1)) == 3
    assert len(queue.take(100 * SIZE)) == 4
    assert queue.take(100 * SIZE) == []


def test_what_follows_an_old_datagram_is_dropped():
    queue = DatagramQueue()
    queue.add(numbered(100), 0.0)
    queue.add(numbered(1), MAX_AGE)
    queue.add(numbered(5), MAX_AGE + 0.001)
    assert queue.size == 101 * SIZE
    assert queue.dropped == 5


def test_it_takes_more_once_the_old_ones_have_left():
    queue = DatagramQueue()
    queue.add(numbered(100), 0.0)
    queue.add(numbered(100), 0.04)
    queue.take(100 * SIZE)
    queue.add(numbered(5), 0.08)
    assert queue.dropped == 0
    queue.add(numbered(5), 0.04 + MAX_AGE + 0.001)
    assert queue.dropped == 5


def test_a_few_datagrams_wait_however_slow_the_line_is():
    queue = DatagramQueue()
    for now in range(100):
        queue.add(numbered(1), float(now))
    assert MIN_BYTES - SIZE < queue.size <= MIN_BYTES


def test_its_size_is_bounded_at_any_rate():
    queue = DatagramQueue()
    queue.add(numbered(MAX_BYTES // SIZE + 10), 0.0)
    assert MAX_BYTES - SIZE < queue.size <= MAX_BYTES
    assert queue.dropped == 10


def test_nothing_is_left_after_it_was_cleared():
    queue = DatagramQueue()
    queue.add(numbered(5), 0.0)
    queue.clear()
    assert not queue
    assert queue.size == 0
    assert queue.take(SIZE) == []
