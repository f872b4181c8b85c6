"""How long a half-closed connection may be quiet: the clock under virtual time, then the relay."""

from __future__ import annotations

import asyncio

import pytest
from relay_doubles import Half, MemoryLink, Tunnel, VirtualTime, until
from transport_owner import turns

from quictunnel.protocol.codes import Code
from quictunnel.relay.idle_timer import TICKS, IdleTimer
from quictunnel.relay.relay import Ending

LIMIT = 300.0
STEP = LIMIT / TICKS


class Case:
    """A connection of which one half has ended, and the clock that counts for it."""

    def __init__(self):
        self.time = VirtualTime()
        self.moved = 0
        self.silent = False
        self.over_at = []
        self.lingers = IdleTimer(LIMIT, Case.expired, self.time)
        self.lingers.start(self)

    def progress(self):
        return self.moved

    def is_on_hold(self):
        return self.silent

    def expired(self):
        self.over_at.append(self.time.now)


@pytest.fixture
def case():
    return Case()


def test_quiet_for_the_limit_is_over_once(case):
    case.time.advance(LIMIT - 1)
    assert case.over_at == []
    case.time.advance(10 * LIMIT)
    assert case.over_at == [LIMIT]


def test_each_byte_starts_it_anew(case):
    for _ in range(100):
        case.time.advance(LIMIT - STEP)
        case.moved += 1
    moved_at = case.time.now
    assert case.over_at == []
    case.time.advance(2 * LIMIT)
    assert moved_at + LIMIT <= case.over_at[0] <= moved_at + LIMIT + STEP


def test_silence_does_not_count(case):
    case.time.advance(LIMIT / 2)
    case.silent = True
    case.time.advance(100 * LIMIT)
    assert case.over_at == []
    case.silent = False
    case.time.advance(LIMIT / 2 - STEP)
    assert case.over_at == []
    case.time.advance(STEP)
    assert len(case.over_at) == 1


def test_starting_twice_is_starting_once(case):
    case.time.advance(LIMIT / 2)
    case.lingers.start(case)
    case.time.advance(LIMIT / 2)
    assert case.over_at == [LIMIT]


def test_stopped_it_never_calls(case):
    case.lingers.stop(case)
    case.time.advance(10 * LIMIT)
    assert case.over_at == []


@pytest.fixture
async def hasty_tunnel():
    it = Tunnel(linger=0.05, small=True)
    await it.stand()
    yield it
    await it.close()


async def test_a_half_closed_connection_goes_after_the_linger(hasty_tunnel, way):
    actor, seer = hasty_tunnel.ways(way)
    actor.wire.fin()
    assert await actor.wire.sees_reset()
    assert await seer.wire.receive() == b""
    assert await seer.wire.sees_reset_behind_fin()
    assert Code.LINGER_OVER == (await actor.end()).code == (await seer.end()).code


async def test_bytes_that_nobody_takes_go_after_the_linger_too(hasty_tunnel, way):
    """Both have ended, but the one who has bytes to come does not read them."""
    actor, seer = hasty_tunnel.ways(way)
    await actor.wire.fill()
    actor.wire.fin()
    seer.wire.fin()
    assert (await actor.end()).code == Code.LINGER_OVER
    assert (await seer.end()).code == Code.LINGER_OVER
    assert await seer.wire.sees_reset()


class SlowReader(asyncio.Protocol):
    """The far end of a stream. It reads one piece on each call of `read_one_piece`."""

    def connection_made(self, transport):
        self.transport = transport
        self.received = b""
        transport.pause_reading()

    def data_received(self, data):
        self.received += data
        self.transport.pause_reading()

    def eof_received(self):
        return True

    async def read_one_piece(self):
        before = len(self.received)
        self.transport.resume_reading()
        await until(lambda: len(self.received) > before)


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
async def clocked_half(clock):
    """A relay whose linger counts the clock's time."""
    it = Half(Code.CLIENT_RESET, linger=LIMIT, clock=clock)
    await it.stand()
    yield it
    await it.close()


async def test_bytes_that_leave_the_stream_slowly_count_as_progress(clocked_half, clock):
    """A client has sent FIN, and a slow link needs longer than the linger to carry its bytes.

    The stream's write buffer is the only thing that moves meanwhile.
    """
    half, reader = clocked_half, SlowReader()
    near, far = MemoryLink().stream_pair()
    far.attach(reader)
    near.attach(half.relay.stream)
    pieces = [bytes([number]) * 1000 for number in range(6)]
    for number, piece in enumerate(pieces, 1):
        await half.wire.send(piece)
        await until(lambda number=number: half.relay.tcp.received == number * 1000)
    half.wire.fin()
    await until(lambda: half.relay.tcp.has_eof)
    for _ in pieces:
        clock.advance(LIMIT / 2)
        await turns()
        assert not half.ended.done()
        await reader.read_one_piece()
    assert reader.received == b"".join(pieces)
    clock.advance(LIMIT + STEP)
    assert (await half.end()).code == Code.LINGER_OVER


async def test_no_half_ended_no_linger(hasty_tunnel):
    """An idle connection has no time limit."""
    assert len(hasty_tunnel.remote.lingers) == 0
    await hasty_tunnel.client.send(b"x")
    assert await hasty_tunnel.server.receive() == b"x"
    assert len(hasty_tunnel.origin.lingers) == 0


async def test_the_linger_leaves_nothing_behind(tunnel):
    tunnel.client.fin()
    assert await tunnel.server.receive() == b""
    tunnel.server.fin()
    assert await tunnel.client.receive() == b""
    assert (await tunnel.remote.end()).ending is Ending.IN_ORDER
    assert len(tunnel.remote.lingers) == len(tunnel.remote.lingers._timer) == 0
    await until(tunnel.origin.ended.done)
    assert len(tunnel.origin.lingers) == len(tunnel.origin.lingers._timer) == 0
