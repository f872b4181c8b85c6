"""How streams end at the engine: ends in both orders, resets, stops, codes, and no remains."""

from __future__ import annotations

import pytest
from pair import ROUGH, Engines, Network, Pair, assert_nothing_left

REASON_MAX = 512
"""Bytes of a close's words that must arrive."""

NETWORKS = [pytest.param({"delay": 0.01}, id="good"), pytest.param(ROUGH, id="bad")]


@pytest.fixture(params=NETWORKS)
def pair(request: pytest.FixtureRequest, engines: Engines) -> Pair:
    return Pair.trusting(Network(**request.param), engines=engines)


def test_the_opener_ends_first(pair: Pair) -> None:
    stream = pair.client.open(b"question", fin=True)
    pair.run(lambda: stream in pair.server.fins)
    assert stream not in pair.server.ended
    pair.server.engine.write(stream, b"answer")
    pair.server.engine.finish(stream)
    pair.run(lambda: all(stream in end.ended for end in pair.ends))
    assert (pair.server.inbox[stream], pair.client.inbox[stream]) == (b"question", b"answer")
    assert_nothing_left(*pair.ends)


def test_the_acceptor_ends_first(pair: Pair) -> None:
    stream = pair.client.open(b"question")
    pair.run(lambda: stream in pair.server.inbox)
    pair.server.engine.finish(stream)
    pair.run(lambda: stream in pair.client.fins)
    assert stream not in pair.client.ended
    pair.client.engine.write(stream, b", and more")
    pair.client.engine.finish(stream)
    pair.run(lambda: all(stream in end.ended for end in pair.ends))
    assert pair.server.inbox[stream] == b"question, and more"
    assert_nothing_left(*pair.ends)


def test_an_end_without_a_byte(pair: Pair) -> None:
    stream = pair.client.open(fin=True)
    pair.run(lambda: stream in pair.server.fins)
    pair.server.engine.finish(stream)
    pair.run(lambda: all(stream in end.ended for end in pair.ends))
    assert_nothing_left(*pair.ends)


def test_a_stream_has_not_ended_before_its_end_was_read(pair: Pair) -> None:
    stream = pair.client.open(b"question", fin=True)
    pair.server.paused.add(stream)
    pair.run(lambda: stream in pair.server.opened)
    pair.server.engine.finish(stream)
    pair.run(lambda: stream in pair.client.ended)
    pair.run_for(2.0)
    assert stream not in pair.server.ended
    pair.server.resume(stream)
    pair.run(lambda: stream in pair.server.ended)
    assert_nothing_left(*pair.ends)


def test_a_reset_carries_its_code_and_ends_both_directions(pair: Pair) -> None:
    stream = pair.client.open(b"question")
    pair.run(lambda: stream in pair.server.inbox)
    pair.client.reset(stream, 0x16)
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(2.0)
    assert pair.server.resets[stream] == 0x16
    assert pair.client.resets == {}, "who resets is told nothing more"
    assert pair.client.ended == []
    assert_nothing_left(*pair.ends)


def test_the_acceptor_resets(pair: Pair) -> None:
    stream = pair.client.open(b"question")
    pair.run(lambda: stream in pair.server.inbox)
    pair.server.reset(stream, 0x12)
    pair.run(lambda: stream in pair.client.resets)
    pair.run_for(2.0)
    assert pair.client.resets[stream] == 0x12
    assert pair.server.resets == {}
    assert_nothing_left(*pair.ends)


def test_both_reset_at_once(pair: Pair) -> None:
    stream = pair.client.open(b"question")
    pair.run(lambda: stream in pair.server.inbox)
    pair.client.reset(stream, 0x10)
    pair.server.reset(stream, 0x11)
    pair.run_for(3.0)
    assert pair.client.resets == pair.server.resets == {}
    assert_nothing_left(*pair.ends)


def test_a_reset_of_what_was_never_sent(pair: Pair) -> None:
    stream = pair.client.open(b"question")
    pair.client.reset(stream, 0x10)
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(2.0)
    assert pair.server.opened == [stream]
    assert_nothing_left(*pair.ends)


def test_a_reset_after_our_end_reaches_the_peer(pair: Pair) -> None:
    """The reset is a STOP_SENDING: our direction has ended, so it cannot be reset."""
    stream = pair.client.open(b"question", fin=True)
    pair.run(lambda: stream in pair.server.fins)
    pair.run_for(2.0)
    pair.client.reset(stream, 0x10)
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(2.0)
    assert_nothing_left(*pair.ends)


def test_a_reset_that_crosses_the_peers_end(pair: Pair) -> None:
    stream = pair.client.open(b"question", fin=True)
    pair.run(lambda: stream in pair.server.fins)
    pair.run_for(2.0)
    pair.server.engine.write(stream, b"answer")
    pair.server.engine.finish(stream)
    pair.client.reset(stream, 0x10)
    pair.run_for(2.0)
    assert_nothing_left(*pair.ends)


def test_a_stop_makes_the_peer_send_no_more(pair: Pair) -> None:
    stream = pair.client.open(b"question")
    pair.run(lambda: stream in pair.server.inbox)
    pair.client.engine.stop_reading(stream, 0x17)
    pair.run(lambda: stream in pair.server.resets)
    assert pair.server.resets[stream] == 0x17


def test_a_reset_lets_go_of_what_was_written(pair: Pair) -> None:
    stream = pair.client.open(bytes(8 * 1024 * 1024))
    pair.run_for(0.1)
    assert pair.client.engine.unsent(stream) > 1024 * 1024
    pair.network.cut = True
    pair.client.reset(stream, 0x10)
    assert pair.client.engine.unsent(stream) == 0
    pair.network.cut = False
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(2.0)
    assert_nothing_left(*pair.ends)


def test_a_peers_reset_lets_go_of_what_was_not_read(pair: Pair) -> None:
    stream = pair.client.open(bytes(100_000))
    pair.server.paused.add(stream)
    pair.run(lambda: pair.client.sent_of(stream) == 100_000)
    pair.run_for(2.0)
    pair.client.reset(stream, 0x10)
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(20.0)  # on a bad path, acknowledgements may be lost several times
    assert_nothing_left(*pair.ends)


def test_closing_tells_the_code_and_words(pair: Pair) -> None:
    pair.client.engine.close_with(0x21, "taken over")
    pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed == (0x21, "taken over", False)
    if pair.network.loss == 0:  # the one datagram that tells it may be lost
        pair.run(lambda: pair.server.closed is not None)
        assert pair.server.closed == (0x21, "taken over", True)
    pair.run(lambda: pair.client.engine.is_terminated)


def test_closing_tells_though_the_window_is_full(engines: Engines) -> None:
    pair = Pair.trusting(Network(delay=0.05), engines=engines)
    pair.client.open(bytes(10_000_000))
    pair.run_for(0.01)  # nothing is acknowledged yet
    pair.client.engine.close_with(0x21, "taken over")
    pair.run(lambda: pair.server.closed is not None)
    assert pair.server.closed == (0x21, "taken over", True)


def test_a_reason_of_many_words_is_cut(pair: Pair) -> None:
    pair.client.engine.close_with(0x21, "é" * 2000)
    pair.run(lambda: pair.server.closed is not None)
    assert pair.server.closed == (0x21, "é" * (REASON_MAX // 2), True)


def test_the_hold_over_ends_the_connection(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    pair.network.cut = True
    pair.run(lambda: pair.client.closed is not None, limit=910.0)
    code, reason, by_peer = pair.client.closed
    assert code is None
    assert reason == "silent for longer than the hold"
    assert not by_peer
    assert pair.now > 890.0
