"""An outage of ten minutes in virtual time: links hold all there is, and go on within a second."""

from __future__ import annotations

from link_pair import LinkPair, Network, Recorder, over_links, seconds, until
from pair import Engines

SIZE = 1_500_000


@over_links
async def test_ten_minutes_in_the_dark_cost_a_second_and_no_byte(engines: Engines) -> None:
    pair = await LinkPair.made(Network(delay=0.015, rate=1e6, queue=0.1, seed=1), engines=engines)
    ours, theirs = await pair.streams(ours=Recorder(), theirs=Recorder())
    ours.stream.write(bytes(SIZE))
    theirs.stream.write(bytes(SIZE))
    await seconds(1)
    pair.network.cut = True
    await seconds(600)
    before = len(ours.data), len(theirs.data)
    assert max(before) < SIZE
    pair.network.cut = False
    await until(lambda: len(ours.data) > before[0] and len(theirs.data) > before[1], limit=1.0)
    await until(lambda: len(ours.data) >= SIZE and len(theirs.data) >= SIZE, limit=60.0)
