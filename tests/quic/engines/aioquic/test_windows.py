"""Flow control to the byte: windows that grow for those who keep up, and what the process holds."""

from __future__ import annotations

import pytest
from pair import End, Network, Pair, assert_nothing_left

from quictunnel.quic.engines.aioquic.streams import PIECE_MIN
from quictunnel.quic.flow_control import (
    HELLO_WINDOW,
    LINK_WINDOW,
    RELIEF,
    RELIEF_EVERY,
    STREAM_WINDOW,
    STREAM_WINDOW_MAX,
)

MIB = 1024 * 1024
FAT = {"delay": 0.05, "rate": 25e6, "queue": 0.2}
"""A long fat path: 200 Mbit/s, 100 ms there and back, which holds 2.5 MB."""


def unread(end: End, stream: int) -> int:
    return sum(map(len, end.engine._table.open[stream].inbox))


def test_what_waits_and_what_came_is_counted_as_it_is_read() -> None:
    pair = Pair.trusting()
    stream = pair.client.open(bytes(4 * MIB))
    pair.server.paused.add(stream)
    pair.run_for(2.0)
    read, _ = pair.server.engine.read(stream, STREAM_WINDOW // 2)
    pair.run_for(2.0)
    assert unread(pair.server, stream) == STREAM_WINDOW
    highest = pair.server.engine._table.open[stream].receiver.highest_offset
    assert highest == STREAM_WINDOW + len(read)


def test_paused_streams_cannot_exhaust_the_links_window() -> None:
    pair = Pair.trusting(streams=1000)
    stalled = [pair.client.open(bytes(STREAM_WINDOW)) for _ in range(6)]
    pair.server.paused.update(stalled)
    pair.run(lambda: pair.server.endpoint.budget.unread == 6 * STREAM_WINDOW)
    other = pair.client.open(bytes(MIB), fin=True)
    pair.run(lambda: other in pair.server.fins)


def test_what_an_unproven_peer_may_send_is_counted() -> None:
    pair = Pair()
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    streams = [pair.client.open(bytes(STREAM_WINDOW)) for _ in range(4)]
    pair.server.paused.update(streams)
    pair.run_for(5.0)
    assert pair.server.endpoint.budget.unread == HELLO_WINDOW
    pair.server.engine.trust()
    pair.run(lambda: pair.server.endpoint.budget.unread == 4 * STREAM_WINDOW)


def test_the_window_grows_for_a_reader_that_keeps_up_on_a_long_fat_path() -> None:
    pair = Pair.trusting(Network(**FAT))
    stream = pair.client.open(bytes(8 * MIB), fin=True)
    pair.run(lambda: stream in pair.server.opened)
    window = pair.server.engine._table.open[stream].window
    pair.run(lambda: stream in pair.server.fins)
    assert 4 * STREAM_WINDOW <= window.size <= STREAM_WINDOW_MAX


def test_the_window_does_not_grow_where_the_path_holds_less_than_it() -> None:
    pair = Pair.trusting(Network(delay=0.01, rate=2e6, queue=0.05))
    stream = pair.client.open(bytes(2 * MIB), fin=True)
    pair.run(lambda: stream in pair.server.opened)
    window = pair.server.engine._table.open[stream].window
    pair.run(lambda: stream in pair.server.fins)
    assert window.size == STREAM_WINDOW


def test_the_window_does_not_grow_for_a_reader_that_stalls_and_gulps() -> None:
    pair = Pair.trusting(Network(**FAT))
    stream = pair.client.open(bytes(20 * MIB), fin=True)
    pair.server.paused.add(stream)
    pair.run(lambda: stream in pair.server.opened)
    window = pair.server.engine._table.open[stream].window
    for _ in range(4):
        pair.run_for(3.0)
        pair.server.resume(stream)  # all that waits, at once
        pair.server.paused.add(stream)
    assert window.size == STREAM_WINDOW


def test_a_reset_stream_is_credited_to_the_link() -> None:
    pair = Pair.trusting(streams=1000, unread_limit=4 * MIB)
    for _ in range(12):  # three times the budget
        stream = pair.client.open(bytes(STREAM_WINDOW))
        pair.server.paused.add(stream)
        pair.run(lambda: pair.server.endpoint.budget.unread >= STREAM_WINDOW, limit=10)
        pair.client.engine.reset(stream, 0x10)
        pair.run(lambda: pair.server.endpoint.budget.unread == 0)
    pair.run_for(1.0)
    assert_nothing_left(*pair.ends)


class TestBudget:
    """The limit on unread bytes of a process slows senders. It neither stalls nor ends a link."""

    LIMIT = 2 * MIB
    SECONDS = 5.0

    @pytest.fixture
    def pair(self) -> Pair:
        pair = Pair.trusting(streams=100, unread_limit=self.LIMIT)
        self.stalled = [pair.client.open(bytes(MIB)) for _ in range(10)]
        pair.server.paused.update(self.stalled)
        pair.run_for(self.SECONDS)
        return pair

    def test_it_is_reached_and_exceeded_only_by_the_relief(self, pair: Pair) -> None:
        relief = RELIEF * (int(self.SECONDS / RELIEF_EVERY) + 1)
        assert sum(pair.client.written.values()) > 2 * (self.LIMIT + relief)
        assert self.LIMIT <= pair.server.endpoint.budget.unread <= self.LIMIT + relief
        assert not pair.server.endpoint.budget.may_grow
        assert pair.server.closed is pair.client.closed is None

    def test_a_reader_goes_on_beside_many_stalled_ones(self, pair: Pair) -> None:
        other = pair.client.open(bytes(2 * MIB), fin=True)
        pair.run(lambda: other in pair.server.fins)

    def test_all_goes_on_when_they_read_again(self, pair: Pair) -> None:
        pair.server.resume(*self.stalled)
        pair.run(lambda: all(len(pair.server.inbox[s]) == MIB for s in self.stalled))
        assert pair.server.endpoint.budget.unread == 0


@pytest.mark.parametrize("silent", [False, True])
def test_what_is_dropped_is_given_back_to_the_process_at_once(silent: bool) -> None:
    pair = Pair.trusting()
    stream = pair.client.open(bytes(MIB))
    pair.server.paused = {stream}
    pair.run_for(5.0)
    budget = pair.server.endpoint.budget
    assert budget.unread == STREAM_WINDOW
    pair.network.cut = silent
    pair.server.engine.reset(stream, 0x10)
    pair.run_for(0.0)
    assert budget.unread == 0
    pair.run_for(300.0)
    pair.network.cut = False
    pair.client.engine.ping()
    pair.run(lambda: stream in pair.client.resets, limit=600)
    pair.run_for(60.0)
    assert_nothing_left(*pair.ends)


def test_small_pieces_cost_little_more_than_their_bytes() -> None:
    pair = Pair.trusting()
    stream = pair.client.open(b"!")
    pair.server.paused = {stream}
    state = pair.client.engine._table.open[stream]
    data = bytes(range(200)) * 50
    for start in range(0, len(data), 2):
        state.sender.write(data[start : start + 2])
        pair.client.engine._table.send_queue.add(state)
        pair.run_for(0.0)
    pair.run(lambda: pair.server.endpoint.budget.unread == 1 + len(data))
    assert len(pair.server.engine._table.open[stream].inbox) <= 2 * len(data) / PIECE_MIN
    pair.server.resume(stream)
    assert pair.server.inbox[stream] == b"!" + data


def test_the_link_is_granted_no_more_than_it_needs() -> None:
    pair = Pair.trusting()
    stream = pair.client.open(bytes(MIB), fin=True)
    pair.run(lambda: stream in pair.server.fins)
    limit = pair.server.engine._local_max_data
    assert RELIEF <= limit.value - limit.used <= LINK_WINDOW
