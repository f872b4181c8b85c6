"""A reader that does not read pauses only its own writer."""

from __future__ import annotations

from relay_doubles import HIGH, Tunnel, until

from quictunnel.relay.sides import TcpSide

PIECE = 256 * 1024
"""The most that asyncio reads from a TCP socket at once."""


async def test_the_relay_holds_no_more_than_its_transports(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    sent = await actor.wire.fill()
    assert actor.relay.stream.unsent() <= HIGH + PIECE
    assert seer.transport.get_write_buffer_size() <= HIGH + PIECE
    assert not actor.transport.is_reading()
    assert not seer.relay.stream.transport.is_reading()
    assert await seer.wire.receive_exactly(sent) == bytes(sent)


async def test_the_other_direction_goes_on(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    await actor.wire.fill()
    await seer.wire.send(b"are you there?")
    assert await actor.wire.receive() == b"are you there?"


async def test_another_client_goes_on(narrow_tunnel, tunnel):
    await narrow_tunnel.server.fill()
    await tunnel.client.send(b"question")
    assert await tunnel.server.receive() == b"question"


async def test_reading_goes_on_when_the_reader_does(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    sent = await actor.wire.fill()
    assert await seer.wire.receive_exactly(sent) == bytes(sent)
    await until(actor.transport.is_reading)
    assert not seer.relay.tcp.write_paused


async def test_back_pressure_behind_a_fin_does_not_bring_the_fin_twice(
    narrow_tunnel, way, monkeypatch
):
    """resume_reading() behind an EOF would make asyncio report the EOF again."""
    told = []
    real = TcpSide.eof_received
    monkeypatch.setattr(TcpSide, "eof_received", lambda side: told.append(side) or real(side))
    actor, seer = narrow_tunnel.ways(way)
    actor.wire.fin()
    assert await seer.wire.receive() == b""
    actor.relay.stream.pause_writing()
    actor.relay.stream.resume_writing()
    await seer.wire.send(b"still here")
    assert await actor.wire.receive() == b"still here"
    assert told == [actor.relay.tcp]


async def test_fin_waits_behind_back_pressure(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    sent = await actor.wire.fill()
    actor.wire.fin()
    assert not seer.relay.stream.has_eof
    assert await seer.wire.receive_to_fin() == bytes(sent)


async def test_many_tunnels_fill_at_once():
    tunnels = [Tunnel(small=True) for _ in range(10)]
    for tunnel in tunnels:
        await tunnel.stand()
    sent = [await tunnel.client.fill() for tunnel in tunnels]
    for tunnel, count in zip(tunnels, sent, strict=True):
        assert await tunnel.server.receive_exactly(count) == bytes(count)
        await tunnel.close()
