"""Streams over a bad network: every byte arrives, once and in order, and nothing is left behind."""

from __future__ import annotations

import hashlib
import random

import pytest
from pair import ROUGH, End, Engines, Network, Pair, assert_nothing_left

MIB = 1024 * 1024


def digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("seed", [1, 2])
def test_megabytes_come_back_whole_over_a_bad_path(seed: int, engines: Engines) -> None:
    pair = Pair.trusting(Network(**ROUGH, seed=seed), echo=True, engines=engines)
    data = random.Random(seed).randbytes(MIB)
    stream = pair.client.open(data, fin=True)
    pair.run(lambda: stream in pair.client.ended)
    assert digest(pair.client.inbox[stream]) == digest(data)
    assert pair.network.dropped > 20
    pair.run(lambda: stream in pair.server.ended)
    assert_nothing_left(*pair.ends)


def test_both_directions_and_many_streams_at_once(engines: Engines) -> None:
    pair = Pair.trusting(Network(**ROUGH), engines=engines)
    source = random.Random(3)
    sent: dict[End, dict[int, bytes]] = {end: {} for end in pair.ends}
    for end in pair.ends:
        for _ in range(4):
            data = source.randbytes(150_000)
            sent[end][end.open(data, fin=True)] = data
    pair.run(lambda: all(s in pair.other(end).fins for end in pair.ends for s in sent[end]))
    for end in pair.ends:
        for stream, data in sent[end].items():
            assert digest(pair.other(end).inbox[stream]) == digest(data)
            pair.other(end).engine.finish(stream)
    pair.run(lambda: all(len(end.ended) == 8 for end in pair.ends))
    assert_nothing_left(*pair.ends)
