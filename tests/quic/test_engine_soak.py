"""Streams are opened, written, ended, reset and stopped at random, over a bad network.

The bytes that arrive are always a prefix of those that were written. They are all of them unless an
end has reset or stopped the stream. Nothing is left behind.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from pair import ROUGH, End, Engines, Network, Pair, assert_nothing_left

pytestmark = pytest.mark.nightly

STREAMS = 60
CODE = 0x17


@dataclass
class Side:
    """The bytes that one end has written to a stream, and how it has ended it."""

    written: bytearray = field(default_factory=bytearray)
    finished: bool = False
    stopped: bool = False


class Soak:
    """A pair, and a script of random deeds."""

    def __init__(self, seed: int, engines: Engines) -> None:
        self.script = random.Random(seed)
        self.pair = Pair.trusting(Network(**ROUGH, seed=seed), streams=8, engines=engines)
        self.sides: dict[tuple[End, int], Side] = {}
        self.cut: set[int] = set()
        """Streams that an end has reset or stopped."""

    def act(self) -> None:
        end = self.script.choice(self.pair.ends)
        live = sorted(end.live)
        deed = self.script.randrange(12)
        if deed < 3 or not live:
            if len(self.sides) < 2 * STREAMS:
                stream = end.open()
                for each in self.pair.ends:
                    self.sides[each, stream] = Side()
            return
        stream = self.script.choice(live)
        side = self.sides[end, stream]
        if deed < 7 and not side.finished:
            data = self.script.randbytes(self.script.choice([1, 100, 5000, 60_000]))
            side.written += data
            end.write(stream, data)
        elif deed == 7 and not side.finished:
            side.finished = True
            end.engine.finish(stream)
        elif deed == 8:
            end.paused.add(stream)
        elif deed == 9:
            self.read_again(end, stream)
        elif deed == 10 and self.script.random() < 0.2:
            self.cut.add(stream)
            end.reset(stream, CODE)
        elif deed == 11 and self.script.random() < 0.2:
            self.cut.add(stream)
            side.stopped = True
            end.engine.stop_reading(stream, CODE)

    def read_again(self, end: End, stream: int) -> None:
        if not self.sides[end, stream].stopped and stream not in end.fins:
            end.resume(stream)

    def finish(self) -> None:
        """Let every stream come to its end, by everyone reading and finishing."""
        for _ in range(40):
            for end in self.pair.ends:
                for stream in sorted(end.live):
                    self.read_again(end, stream)
                    side = self.sides[end, stream]
                    if not side.finished:
                        side.finished = True
                        end.engine.finish(stream)
            self.pair.run_for(1.0)
            if not any(end.probe.streams(end.engine) for end in self.pair.ends):
                return


@pytest.mark.parametrize("seed", range(4))
def test_whatever_streams_do_nothing_is_lost_and_nothing_left(seed: int, engines: Engines) -> None:
    soak = Soak(seed, engines)
    for _ in range(400):
        soak.act()
        soak.pair.run_for(soak.script.random() * 0.02)
    soak.finish()
    client, server = soak.pair.ends
    assert client.closed is server.closed is None
    assert_nothing_left(client, server)
    for (end, stream), side in soak.sides.items():
        arrived = bytes(soak.pair.other(end).inbox.get(stream, b""))
        assert bytes(side.written).startswith(arrived)
        if stream not in soak.cut:
            assert arrived == side.written
            assert stream in end.ended
    assert set(client.resets.values()) | set(server.resets.values()) <= {CODE}
    assert soak.cut
