"""Flow control: credit for what was read and for nothing else, and a budget that slows, not kills.

How much came is seen at the end that sends: what it could send, and the rest that waits.
"""

from __future__ import annotations

import pytest
from pair import ROUGH, Engines, Network, Pair, assert_nothing_left

MIB = 1024 * 1024


@pytest.mark.parametrize("network", [{"delay": 0.01}, ROUGH], ids=["good", "bad"])
def test_a_paused_stream_stops_at_its_window_and_others_run_on(
    network: dict, engines: Engines
) -> None:
    pair = Pair.trusting(Network(**network), engines=engines)
    window = pair.server.probe.stream_window
    stalled = pair.client.open(bytes(window + 300_000))
    pair.server.paused.add(stalled)
    pair.run(lambda: stalled in pair.server.opened)
    pair.run(lambda: pair.client.sent_of(stalled) == window)
    other = pair.client.open(bytes(MIB), fin=True)
    pair.run(lambda: other in pair.server.fins)
    pair.run_for(10.0)
    assert pair.client.sent_of(stalled) == window
    assert pair.client.engine.unsent(stalled) == 300_000
    pair.server.resume(stalled)
    pair.run(lambda: len(pair.server.inbox[stalled]) == window + 300_000)


def test_credit_is_only_for_what_was_read(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    window = pair.server.probe.stream_window
    after = pair.server.probe.read_window
    stream = pair.client.open(bytes(window + after))
    pair.server.paused.add(stream)
    pair.run_for(5.0)
    assert pair.client.sent_of(stream) == window
    read, _ = pair.server.engine.read(stream, window // 2)
    assert window // 2 <= len(read) < window // 2 + 2000
    pair.run_for(5.0)
    assert pair.client.sent_of(stream) == after + len(read)


def test_paused_streams_cannot_exhaust_the_links_window(engines: Engines) -> None:
    pair = Pair.trusting(streams=1000, engines=engines)
    window = pair.server.probe.stream_window
    stalled = [pair.client.open(bytes(window)) for _ in range(6)]
    pair.server.paused.update(stalled)
    pair.run(lambda: pair.client.sent_of(*stalled) == 6 * window)
    other = pair.client.open(bytes(MIB), fin=True)
    pair.run(lambda: other in pair.server.fins)


def test_an_unproven_peer_has_a_small_window(engines: Engines) -> None:
    pair = Pair(engines=engines)
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    streams = [pair.client.open(bytes(MIB // 2)) for _ in range(4)]
    pair.server.paused.update(streams)
    pair.run_for(5.0)
    assert pair.client.sent_of(*streams) == pair.server.probe.hello_window
    pair.server.engine.trust()
    pair.run(lambda: pair.client.sent_of(*streams) == 2 * MIB)


def test_a_reset_stream_is_credited_to_the_link(engines: Engines) -> None:
    window = Pair(engines=engines).server.probe.stream_window
    pair = Pair.trusting(streams=1000, unread_limit=2 * window, engines=engines)
    for _ in range(6):  # three times the budget
        stream = pair.client.open(bytes(window))
        pair.server.paused.add(stream)
        pair.run(lambda stream=stream: pair.client.sent_of(stream) == window, limit=10)
        pair.client.reset(stream, 0x10)
        pair.run(lambda stream=stream: stream in pair.server.resets)
    pair.run_for(1.0)
    assert_nothing_left(*pair.ends)


class TestBudget:
    """The limit on the unread bytes of a process slows senders. It neither stalls nor kills."""

    LIMIT = 2 * MIB

    @pytest.fixture
    def pair(self, engines: Engines) -> Pair:
        pair = Pair.trusting(streams=100, unread_limit=self.LIMIT, engines=engines)
        self.stalled = [pair.client.open(bytes(MIB)) for _ in range(4)]
        pair.server.paused.update(self.stalled)
        pair.run_for(5.0)
        return pair

    def test_it_is_kept_but_for_a_little(self, pair: Pair) -> None:
        """Bytes that were granted before the limit was near may still come."""
        assert pair.client.sent_of(*self.stalled) <= 2 * self.LIMIT
        assert pair.server.closed is pair.client.closed is None

    def test_a_reader_goes_on_beside_stalled_ones(self, pair: Pair) -> None:
        other = pair.client.open(bytes(2 * MIB), fin=True)
        pair.run(lambda: other in pair.server.fins)

    def test_all_goes_on_when_they_still_readable(self, pair: Pair) -> None:
        pair.server.resume(*self.stalled)
        pair.run(lambda: all(len(pair.server.inbox[s]) == MIB for s in self.stalled))


@pytest.mark.parametrize("silent", [False, True])
def test_a_stalled_stream_can_be_reset_at_the_end_that_does_not_read(
    silent: bool, engines: Engines
) -> None:
    pair = Pair.trusting(engines=engines)
    stream = pair.client.open(bytes(2 * pair.server.probe.stream_window))
    pair.server.paused = {stream}
    pair.run_for(5.0)
    pair.network.cut = silent
    pair.server.reset(stream, 0x10)
    pair.run_for(300.0)
    pair.network.cut = False
    pair.client.engine.ping()
    pair.run(lambda: stream in pair.client.resets, limit=600)
    pair.run_for(60.0)
    assert_nothing_left(*pair.ends)
