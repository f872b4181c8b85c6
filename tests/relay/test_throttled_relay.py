"""A relay whose rate is limited: no byte is lost, and its ends stay what they are."""

from __future__ import annotations

import asyncio
import random

import pytest
from relay_doubles import HIGH, Tunnel, until
from transport_owner import turns

from quictunnel.protocol.codes import Code
from quictunnel.relay.rate_limit import BURST, RateLimit
from quictunnel.relay.relay import Ending, RelayLimits

RATE = 1_000_000
SLOW = 1000
"""Bytes per second: the second read of a relay waits for a second."""

BYTES = random.Random(5).randbytes(400_000)


@pytest.fixture
async def limited():
    """Make tunnels whose remote end limits the rate; close them at the end."""
    tunnels = []

    async def make(*rates: RateLimit) -> Tunnel:
        tunnels.append(Tunnel(limits=RelayLimits(rates)))
        await tunnels[-1].stand()
        return tunnels[-1]

    yield make
    for tunnel in tunnels:
        await tunnel.close()


async def exhaust(tunnel, way) -> None:
    """Send more than a slow limit lets pass, and wait until the limit holds bytes back."""
    actor, _ = tunnel.ways(way)
    await actor.wire.send(bytes(10_000))
    relay = tunnel.remote.relay
    await until(lambda: relay.tcp.is_throttled or relay.stream.is_throttled)


async def test_all_bytes_arrive_at_the_rate(limited, way):
    tunnel = await limited(RateLimit(RATE))
    actor, seer = tunnel.ways(way)
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    sending = asyncio.create_task(actor.wire.send(BYTES))
    assert await seer.wire.receive_exactly(len(BYTES)) == BYTES
    await sending
    assert loop.time() - started_at >= (len(BYTES) - BURST * RATE) / RATE - 0.01


async def test_the_limit_of_one_direction_leaves_the_other_alone(limited, way):
    tunnel = await limited(RateLimit(SLOW))
    actor, seer = tunnel.ways(way)
    await exhaust(tunnel, way)
    await seer.wire.send(b"are you there?")
    assert await actor.wire.receive() == b"are you there?"


async def test_another_relay_goes_on(limited, tunnel):
    await exhaust(await limited(RateLimit(SLOW)), "client")
    await tunnel.client.send(BYTES[:10_000])
    assert await tunnel.server.receive_exactly(10_000) == BYTES[:10_000]


async def test_a_fin_comes_behind_the_bytes_that_were_held_back(limited, way):
    tunnel = await limited(RateLimit(RATE))
    actor, seer = tunnel.ways(way)
    await actor.wire.send(BYTES[:150_000])
    actor.wire.fin()
    assert await seer.wire.receive_to_fin() == BYTES[:150_000]
    seer.wire.fin()
    assert await actor.wire.receive() == b""
    assert (await tunnel.remote.end()).ending is Ending.IN_ORDER


async def test_a_reset_passes_although_bytes_are_held_back(limited, way):
    tunnel = await limited(RateLimit(SLOW))
    actor, seer = tunnel.ways(way)
    await exhaust(tunnel, way)
    actor.wire.reset()
    assert await seer.wire.sees_reset()


async def test_the_end_of_a_relay_frees_its_turn(limited, way):
    rate = RateLimit(SLOW)
    tunnel = await limited(rate)
    await exhaust(tunnel, way)
    bucket = rate.from_tcp if way == "client" else rate.from_stream
    assert len(bucket) == 1
    tunnel.remote.relay.abort(Code.CUT_SHORT)
    assert (await tunnel.remote.end()).code == Code.CUT_SHORT
    assert len(bucket) == 0
    assert bucket._timer is None


async def test_a_throttled_side_does_not_read_when_its_peer_can_write_again(limited, way):
    tunnel = await limited(RateLimit(SLOW))
    await exhaust(tunnel, way)
    relay = tunnel.remote.relay
    side, peer = (relay.tcp, relay.stream) if way == "client" else (relay.stream, relay.tcp)
    received = side.received
    peer.pause_writing()
    peer.resume_writing()
    await turns()
    assert side.is_throttled
    assert not side.transport.is_reading()
    assert side.received == received


async def test_a_side_whose_peer_cannot_write_does_not_read_when_its_turn_comes(limited, way):
    rate = RateLimit(SLOW)
    tunnel = await limited(rate)
    await exhaust(tunnel, way)
    relay = tunnel.remote.relay
    side, peer = (relay.tcp, relay.stream) if way == "client" else (relay.stream, relay.tcp)
    peer.pause_writing()
    received = side.received
    rate.change(None)  # its turn comes at once
    await turns()
    assert not side.is_throttled
    assert not side.transport.is_reading()
    assert side.received == received
    peer.resume_writing()
    await until(lambda: side.received == 10_000)


async def test_a_reader_that_does_not_read_holds_back_as_without_a_limit(limited):
    tunnel = await limited(RateLimit(100 * RATE))
    sending = asyncio.create_task(tunnel.server.fill())
    relay = tunnel.remote.relay
    await until(lambda: relay.tcp.write_paused)
    await turns(100)
    assert relay.tcp.transport.get_write_buffer_size() <= 2 * HIGH
    assert not relay.stream.transport.is_reading()
    sent = await sending
    assert await tunnel.client.receive_exactly(sent) == bytes(sent)


async def test_bytes_that_were_read_before_count(limited):
    rate = RateLimit(RATE)
    tunnel = await limited(rate)
    tunnel.remote.relay.tcp.take_over(bytes(RATE))
    assert await tunnel.server.receive_exactly(RATE) == bytes(RATE)
    await tunnel.client.send(b"later")
    await until(lambda: tunnel.remote.relay.tcp.is_throttled)


async def test_many_relays_share_a_rate(limited, way):
    started_at = asyncio.get_running_loop().time()
    rate = RateLimit(RATE)
    tunnels = [await limited(rate) for _ in range(10)]
    sent = BYTES[:30_000]
    for tunnel in tunnels:
        await tunnel.ways(way)[0].wire.send(sent)
    for tunnel in tunnels:
        assert await tunnel.ways(way)[1].wire.receive_exactly(len(sent)) == sent
    elapsed = asyncio.get_running_loop().time() - started_at
    assert elapsed >= (10 * len(sent) - BURST * RATE) / RATE - 0.01


async def test_no_limit_costs_nothing(tunnel):
    relay = tunnel.remote.relay
    assert relay.tcp.throttle is relay.stream.throttle is None
    assert tunnel.remote.transport.read_limiter is None
