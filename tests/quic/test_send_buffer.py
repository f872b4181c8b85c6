"""The bytes that wait to be sent are as many as the path needs, however many streams write.

The memory for them, and the time that they wait, are bounded, and no stream is blocked.
"""

from __future__ import annotations

import asyncio

import pytest
from link_pair import LinkPair, Network, Recorder, over_links, seconds

from quictunnel.quic.flow_control import AHEAD_MIN, AHEAD_SECONDS, SHARE_MIN, share
from quictunnel.quic.stream import HIGH_WATER
from testkit.engines import ENGINES

RATE = 500_000
"""Bytes a second."""
SLOW = {"delay": 0.02, "rate": RATE, "queue": 0.1}


class Download(Recorder):
    """Writes without end, as a relay does: a piece at a time of the high water at most."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.may_write = True
        self._go_on()

    def pause_writing(self) -> None:
        self.may_write = False

    def resume_writing(self) -> None:
        self.may_write = True
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.may_write and not self.lost:
            self.stream.write(bytes(self.stream.get_write_buffer_limits()[1]))
            asyncio.get_running_loop().call_soon(self._go_on)


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("engine", ENGINES)
@over_links
async def test_many_downloads_hold_what_the_path_needs(engine: str, count: int) -> None:
    pair = await LinkPair.made(Network(**SLOW), engines=(engine, engine))
    downloads = [Download() for _ in range(count)]
    for download in downloads:
        pair.client.open_stream(download)
    await seconds(1)
    before = [len(came.data) for came in pair.server_session.accepted]
    held = []
    for _ in range(20):
        await seconds(0.1)
        held.append(sum(one.stream.get_write_buffer_size() for one in downloads))
    came = [
        len(came.data) - had for came, had in zip(pair.server_session.accepted, before, strict=True)
    ]
    begun = 2 * AHEAD_MIN  # who began when there were few had more to begin with
    assert max(held) <= 2 * max(AHEAD_MIN, count * SHARE_MIN) + begun
    assert sum(came) > 0.8 * 2 * RATE
    assert min(came) > 0.5 * sum(came) / count


@pytest.mark.parametrize("engine", ENGINES)
@over_links
async def test_a_keystroke_is_not_held_up_by_forty_downloads(engine: str) -> None:
    pair = await LinkPair.made(Network(**SLOW), engines=(engine, engine))
    for _ in range(40):
        pair.client.open_stream(Download())
    ours, theirs = await pair.streams()
    for number in range(5):
        ours.stream.write(b"a key")
        await seconds(0.2)  # the way there is 20 ms, the queue 100
        assert len(theirs.data) == 5 * (number + 1)
    assert "pause_writing" not in ours.calls


class TestShare:
    def test_one_stream_has_what_leaves_within_a_round_trip(self) -> None:
        assert share(rate=1e6, rtt=0.2, streams=1) == 200_000
        assert share(rate=62.5e6, rtt=0.1, streams=0) > 10 * HIGH_WATER

    def test_on_a_short_path_it_lasts_until_the_loop_comes_round(self) -> None:
        assert share(rate=1e8, rtt=0.0001, streams=1) == pytest.approx(1e8 * AHEAD_SECONDS)

    def test_it_is_shared_and_never_next_to_nothing(self) -> None:
        assert share(rate=0.0, rtt=0.0, streams=1) == AHEAD_MIN
        assert share(rate=1e7, rtt=0.1, streams=10) == 100_000
        assert share(rate=1e7, rtt=0.1, streams=10_000) == SHARE_MIN
