"""A reset that the watch has noticed before the reader: which of the two may tell of it, and when.

In what order a loop calls them is chance, so here the watch is taken away and its word given by
hand.
"""

from __future__ import annotations

import asyncio

import pytest
from relay_doubles import MemoryLink

from quictunnel.protocol.codes import Code
from quictunnel.relay import Ending
from quictunnel.relay.watch import error_watch


class Sink(asyncio.Protocol):
    """Takes all that comes."""

    def eof_received(self):
        return True


@pytest.fixture
async def unwatched(half):
    """A relay that stands and is reading, and whose resets only we notice."""
    await half.stand()
    near, far = MemoryLink().stream_pair()
    near.attach(half.relay.stream)
    far.attach(Sink())
    assert half.transport.is_reading()
    fd = half.transport.get_extra_info("socket").fileno()
    error_watch(asyncio.get_running_loop()).remove(fd)
    return half


async def test_bytes_before_the_reset_are_read_first(unwatched):
    half = unwatched
    await half.wire.send(b"last words")
    half.wire.reset()
    half.relay.tcp._error_noticed()
    assert (await half.end()).bytes_from_tcp == len(b"last words")


async def test_an_eof_before_the_reset_is_no_orderly_end(unwatched):
    """The kernel tells a reader of the EOF alone, although the connection is gone."""
    half = unwatched
    half.wire.fin()
    half.wire.reset()
    half.relay.tcp._error_noticed()
    assert (await half.end()).ending is Ending.TCP_LOST
    assert not half.relay.stream.eof_sent


async def test_back_pressure_does_not_make_the_reset_wait(unwatched):
    """The reader was to meet it, and is paused before it has its turn."""
    half = unwatched
    half.wire.reset()
    half.relay.tcp._error_noticed()
    half.relay.stream.pause_writing()
    assert (await half.end()).code == Code.ORIGIN_RESET
