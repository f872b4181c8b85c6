"""A connection without bytes ends when its policy says so. `test_half_close` tests the timer."""

from __future__ import annotations

import pytest
from relay_doubles import Tunnel, VirtualTime, until

from quictunnel.protocol.codes import Code
from quictunnel.relay.idle_timer import TICKS, IdleTimer
from quictunnel.relay.rate_limit import RateLimit
from quictunnel.relay.relay import Ending, Relay, RelayLimits

LIMIT = 600.0
STEP = LIMIT / TICKS


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
async def timer(clock):
    return IdleTimer(LIMIT, Relay.idle_expired, clock)


@pytest.fixture
async def timed_tunnel(timer):
    """A tunnel whose remote end resets idle connections."""
    it = Tunnel(limits=RelayLimits(idle_timer=timer))
    await it.stand()
    yield it
    await it.close()


async def test_an_idle_connection_is_reset_at_both_ends(timed_tunnel, clock):
    clock.advance(LIMIT - 1)
    assert not timed_tunnel.remote.ended.done()
    clock.advance(STEP + 1)
    assert await timed_tunnel.client.sees_reset()
    assert await timed_tunnel.server.sees_reset()
    end = await timed_tunnel.remote.end()
    assert (end.ending, end.code) == (Ending.CUT, Code.IDLE_TIMEOUT)
    assert (await timed_tunnel.origin.end()).code == Code.IDLE_TIMEOUT


async def test_a_byte_in_either_direction_starts_it_again(timed_tunnel, clock, way):
    actor, seer = timed_tunnel.ways(way)
    for _ in range(5):
        clock.advance(LIMIT - STEP)
        await actor.wire.send(b"x")
        assert await seer.wire.receive() == b"x"
    assert not timed_tunnel.remote.ended.done()


async def test_silence_of_the_link_does_not_count(timed_tunnel, clock):
    timed_tunnel.link.fall_silent()
    clock.advance(100 * LIMIT)
    timed_tunnel.link.come_back()
    clock.advance(LIMIT - STEP)
    assert not timed_tunnel.remote.ended.done()


async def test_bytes_that_a_rate_limit_holds_back_are_not_idle(timer, clock):
    tunnel = Tunnel(limits=RelayLimits((RateLimit(1000),), timer))
    await tunnel.stand()
    await tunnel.client.send(bytes(10_000))
    await until(lambda: tunnel.remote.relay.tcp.is_throttled)
    clock.advance(STEP)  # what has passed so far has restarted the time
    clock.advance(100 * LIMIT)
    assert not tunnel.remote.ended.done()
    await tunnel.close()


async def test_the_end_stops_the_timer(timed_tunnel, timer, clock):
    assert len(timer) == 1
    timed_tunnel.client.fin()
    assert await timed_tunnel.server.receive() == b""
    timed_tunnel.server.fin()
    assert (await timed_tunnel.remote.end()).ending is Ending.IN_ORDER
    assert len(timer) == 0
    clock.advance(100 * LIMIT)


async def test_a_relay_without_a_connection_is_idle_too(timer, clock):
    ends = []
    relay = Relay(
        linger_timer=timer,
        tcp_reset_code=Code.CLIENT_RESET,
        on_end=ends.append,
        limits=RelayLimits(idle_timer=timer),
    )
    clock.advance(LIMIT + STEP)
    assert [end.code for end in ends] == [Code.IDLE_TIMEOUT]
    assert relay.is_over
