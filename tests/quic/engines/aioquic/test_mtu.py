"""The search for the path's MTU: up, past probes that are lost, and down a black hole."""

from __future__ import annotations

import pytest
from pair import End, Network, Pair

from quictunnel.quic.engine import Path
from quictunnel.quic.engines.aioquic.mtu import BLACK_HOLE_PTOS, SIZES, TRIES, PathMtu

BASE = 1200
ELSEWHERE = Path("198.51.100.9", 7777)
LARGEST = SIZES[0]


def test_the_largest_size_is_tried_first_and_ends_the_search() -> None:
    mtu = PathMtu(BASE)
    assert mtu.next_probe() == LARGEST
    assert mtu.next_probe() is None, "one at a time"
    assert mtu.on_probe(LARGEST, arrived=True)
    assert mtu.size == LARGEST
    assert mtu.next_probe() is None


def test_a_lost_probe_is_tried_again_then_the_next_smaller_size() -> None:
    mtu = PathMtu(BASE)
    tried = []
    while (size := mtu.next_probe()) is not None:
        tried.append(size)
        assert not mtu.on_probe(size, arrived=False)
    assert tried == [size for size in SIZES for _ in range(TRIES)]
    assert mtu.size == BASE


def test_timeouts_in_a_row_are_a_black_hole() -> None:
    mtu = PathMtu(BASE)
    mtu.on_probe(mtu.next_probe(), arrived=True)
    for count in range(BLACK_HOLE_PTOS):
        assert not mtu.on_timeouts(count)
    assert mtu.on_timeouts(BLACK_HOLE_PTOS)
    assert mtu.size == BASE
    assert not mtu.on_timeouts(BLACK_HOLE_PTOS + 1), "it cannot fall further"
    assert mtu.next_probe() == LARGEST


def test_word_of_a_probe_of_an_earlier_search_changes_nothing() -> None:
    mtu = PathMtu(BASE)
    mtu.on_probe(mtu.next_probe(), arrived=True)
    assert not mtu.on_probe(LARGEST, arrived=True)


# On a connection


def sizes(pair: Pair) -> list[int]:
    return [end.engine._max_datagram_size for end in pair.ends]


@pytest.mark.parametrize("delay", [0.0001, 0.15, 0.5])
@pytest.mark.parametrize("payload", SIZES)
def test_both_ends_find_what_the_path_carries(payload: int, delay: float) -> None:
    pair = Pair.trusting(Network(mtu=payload, delay=delay))
    pair.run_for(60.0)
    for _ in range(30):
        for end in pair.ends:
            end.engine.ping()
        pair.run_for(5.0)
    assert sizes(pair) == [payload, payload]


def test_a_path_that_carries_no_more_than_the_least() -> None:
    pair = Pair.trusting(Network(mtu=BASE))
    pair.run_for(60.0)
    assert sizes(pair) == [BASE, BASE]
    stream = pair.client.open(bytes(100_000), fin=True)
    pair.run(lambda: stream in pair.server.fins)


def test_a_lost_probe_says_nothing_of_congestion() -> None:
    pair = Pair.trusting(Network(mtu=BASE))
    before = [end.engine._loss.congestion_window for end in pair.ends]
    pair.run_for(60.0)
    assert pair.network.dropped >= 2 * len(SIZES) * TRIES
    assert [end.engine._loss.congestion_window for end in pair.ends] >= before
    assert all(end.engine._loss.bytes_in_flight == 0 for end in pair.ends)


def test_data_goes_in_large_datagrams_once_they_are_known_to_arrive() -> None:
    seen: list[int] = []
    pair = Pair.trusting()
    pair.tap = lambda end, data: seen.append(len(data))
    stream = pair.client.open(bytes(300_000), fin=True)
    pair.run(lambda: stream in pair.server.fins)
    assert max(seen) == LARGEST
    assert seen.count(LARGEST) > 190


def test_a_black_hole_is_found_and_data_goes_on() -> None:
    pair = Pair.trusting()
    pair.run_for(10.0)
    assert sizes(pair) == [LARGEST, LARGEST]
    pair.network.mtu = 1300
    stream = pair.client.open(bytes(100_000), fin=True)
    pair.run(lambda: stream in pair.server.fins)
    pair.run_for(60.0)
    assert pair.client.engine._max_datagram_size in {BASE, 1280}


def test_a_silent_link_does_not_search() -> None:
    pair = Pair.trusting()
    pair.network.mtu = BASE
    pair.network.cut = True
    received: list[End] = []
    pair.tap = lambda end, data: received.append(end)
    pair.client.engine.ping()
    pair.run_for(30.0)
    assert received == []
    assert pair.client.sent < 40


def test_an_answer_to_a_probe_of_the_old_path_says_nothing_of_the_new_one() -> None:
    pair = Pair(Network(delay=0.15))
    engine = pair.client.engine
    # Data before the probe: the oldest packet is the one that a move sends again.
    while not engine._mtu._in_flight:
        pair.client.open(b"!")
        pair.run_for(0.01)
    pair.run_for(0.16)
    pair.network.mtu = 1200
    pair.client.path = ELSEWHERE
    engine.move(pair.now)
    pair.run_for(1.0)
    assert engine._max_datagram_size == 1200
