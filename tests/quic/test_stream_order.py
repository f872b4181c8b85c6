"""Streams are handed over in the order in which their bytes arrived: first in, first out."""

from __future__ import annotations

import asyncio
import random

import pytest
from link_pair import LinkPair, Recorder, over_links, settle, until
from pair import Engines, Pair

TRIES = 2000
STREAMS = 8


class Ordered(Recorder):
    """Notes in a list shared by all streams which stream has received data."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.order.append(self.stream.id)


@over_links
@pytest.mark.parametrize("turns", [1, 2], ids=["one turn", "two turns"])
async def test_a_byte_on_one_stream_arrives_before_a_later_byte_on_another(
    turns: int, engines: Engines
) -> None:
    """As the clients of one server expect it to see their requests."""
    pair = await LinkPair.made(engines=engines)
    order: list[int] = []
    pair.server_session.make = lambda: Ordered(order)
    streams = [pair.client.open_stream(asyncio.Protocol()) for _ in range(STREAMS)]
    for stream in streams:
        stream.write(b"!")
    await until(lambda: len(order) == STREAMS)
    assert order == [stream.id for stream in streams], "the first bytes, opening their streams"
    script = random.Random(5)
    wrong = 0
    for _ in range(TRIES):
        order.clear()
        first, second = script.sample(streams, 2)
        first.write(b"1")
        if turns > 1:
            await settle()
        second.write(b"2")
        await until(lambda: len(order) == 2)
        wrong += order != [first.id, second.id]
    assert wrong == 0


def test_streams_end_in_the_order_in_which_the_peer_ended_them(alike: Engines) -> None:
    pair = Pair.trusting(engines=alike)
    streams = [pair.client.open(b"!") for _ in range(STREAMS)]
    pair.run(lambda: len(pair.server.inbox) == STREAMS)
    for stream in streams:
        pair.server.write(stream, fin=True)
    pair.run(lambda: len(pair.client.fins) == STREAMS)
    pair.run_for(1.0)
    random.Random(6).shuffle(streams)
    for stream in streams:
        pair.client.write(stream, fin=True)
    pair.run(lambda: len(pair.server.ended) == STREAMS)
    assert pair.server.ended == streams
