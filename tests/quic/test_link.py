"""A link's own life: made, closed from either end, lost; told once, and after its streams."""

from __future__ import annotations

import asyncio

import pytest
from link_pair import LinkPair, Network, Recorder, Spied, over_links, seconds, settle, until
from pair import Engines

from quictunnel.errors import LinkLost
from quictunnel.escaping import MAX_SENTENCE, escape
from quictunnel.quic.settings import LinkSettings


@over_links
async def test_both_ends_are_told_that_it_is_made(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    assert pair.client_session.calls == pair.server_session.calls == ["link_made"]
    assert str(pair.client.peer) == "192.0.2.2:9001"
    assert str(pair.server.peer) == "192.0.2.1:5555"
    assert pair.client.rtt == pytest.approx(0.02, abs=0.03)
    assert pair.client.peer_certificates
    assert not pair.server.peer_certificates
    assert pair.client.is_trusted
    assert pair.server.is_trusted


@over_links
async def test_it_can_be_closed_by_the_end_that_dialled(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.client.close(0x21, "taken over")
    await asyncio.wait_for(pair.client.wait_closed(), 1)
    await asyncio.wait_for(pair.server.wait_closed(), 1)
    assert pair.client_session.calls == pair.server_session.calls == ["link_made", "link_lost"]
    assert pair.client_session.exc is None, "closed here"
    assert isinstance(pair.server_session.exc, LinkLost)
    assert (pair.server_session.exc.code, pair.server_session.exc.reason) == (0x21, "taken over")


@over_links
async def test_the_reason_of_the_other_end_is_short(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.client.close(0x21, "\x1b" * 1024)
    await asyncio.wait_for(pair.server.wait_closed(), 1)
    assert 0 < len(escape(pair.server_session.exc.reason)) <= MAX_SENTENCE


@over_links
async def test_it_can_be_closed_by_the_end_that_accepted(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.server.close(0x20)
    await asyncio.wait_for(pair.client.wait_closed(), 1)
    assert isinstance(pair.client_session.exc, LinkLost)
    assert pair.client_session.exc.code == 0x20
    assert pair.server_session.exc is None


@over_links
async def test_closed_twice_is_closed_once(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.client.close(0x20)
    pair.client.close(0x21)
    pair.server.close(0x22)
    await seconds(5)
    assert pair.client_session.calls == pair.server_session.calls == ["link_made", "link_lost"]


@over_links
async def test_streams_are_told_before_the_link(engines: Engines) -> None:
    order: list[str] = []
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams()
    ours.connection_lost = lambda exc: order.append("stream")
    pair.client_session.link_lost = lambda exc: order.append("link")
    pair.server.close()
    await seconds(1)
    assert order == ["stream", "link"]


@over_links
async def test_no_stream_can_be_opened_after_its_end(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.client.close()
    await seconds(1)
    assert pair.client.is_closed
    with pytest.raises(LinkLost):
        pair.client.open_stream(Recorder())


@over_links
async def test_after_its_end_timers_and_carrier_are_let_go(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.client.close()
    await seconds(10)
    for link, carrier in (
        (pair.client, pair.client_socket),
        (pair.server, pair.server_socket),
    ):
        assert carrier.closed_links == 1
        assert carrier.terminated_links >= 1
        assert link._timer is None
        assert link._send_handle is None


@over_links
async def test_a_link_that_the_carrier_refuses_is_never_made(engines: Engines) -> None:
    pair = LinkPair(engines=engines)
    pair.client_socket.trusts = False
    pair.start()
    await asyncio.wait_for(pair.client.wait_closed(), 5)
    await seconds(1)
    assert pair.client_session.calls == []
    assert pair.server_session.calls in ([], ["link_made", "link_lost"])


@over_links
async def test_the_hold_over_is_a_lost_link(engines: Engines) -> None:
    pair = await LinkPair.made(settings=LinkSettings(hold=30), engines=engines)
    ours, theirs = await pair.streams()
    pair.network.cut = True
    await seconds(60)
    for end in (ours, theirs, pair.client_session, pair.server_session):
        assert isinstance(end.exc, LinkLost)
        assert end.exc.code is None
    assert pair.client_session.calls == ["link_made", "link_silent", "link_lost"]


@over_links
async def test_an_idle_link_outlives_the_hold(engines: Engines) -> None:
    pair = await LinkPair.made(settings=LinkSettings(hold=30), engines=engines)
    ours, theirs = await pair.streams()
    await seconds(600)
    assert pair.client_session.calls == pair.server_session.calls == ["link_made"]
    ours.stream.write(b"still here")
    await seconds(1)
    assert theirs.data == b"still here"


@over_links
async def test_a_full_carrier_is_waited_for(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    pair.client_socket.is_full = True
    ours.stream.write(b"waits")
    await seconds(3)
    assert theirs.data == b""
    pair.client_socket.is_full = False
    pair.client.socket_writable()
    await seconds(1)
    assert theirs.data == b"waits"


@over_links
async def test_streams_beyond_the_limit_wait(engines: Engines) -> None:
    pair = await LinkPair.made(streams=16, engines=engines)
    streams = [pair.client.open_stream(Recorder()) for _ in range(20)]
    for stream in streams:
        stream.write(b"!")
    await seconds(1)
    assert len(pair.server_session.accepted) == 16
    for protocol in pair.server_session.accepted[:8]:
        protocol.stream.reset(0x10)
    await seconds(60)
    assert len(pair.server_session.accepted) == 20


@over_links
async def test_streams_before_the_link_is_made_are_refused(engines: Engines) -> None:
    pair = LinkPair(Network(delay=0.05), engines=engines)
    pair.start()
    await until(lambda: pair.client.is_made)
    ours = Recorder()
    pair.client.open_stream(ours).write(b"early")
    await until(lambda: pair.server.is_made)
    await seconds(2)
    assert [bytes(p.data) for p in pair.server_session.accepted] == [b"early"]
    await settle()


@over_links
async def test_an_idle_link_with_no_streams_stays(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    await seconds(3600)
    assert pair.client_session.calls == ["link_made"]
    assert not pair.client.is_silent


@over_links
async def test_a_full_carrier_makes_no_timer_spin(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    looks = 0
    expire = pair.server.engine.expire

    def look(now: float) -> None:
        nonlocal looks
        looks += 1
        assert looks < 1000, "it spins: an acknowledgement is due that cannot leave"
        expire(now)

    pair.server.engine = Spied(pair.server.engine, expire=look)
    pair.server_socket.is_full = True
    ours.stream.write(b"well?")
    await seconds(2)
    pair.server_socket.is_full = False
    pair.server.socket_writable()
    theirs.stream.write(b"well")
    await until(lambda: ours.data == b"well", limit=1)


@over_links
async def test_statistics_name_the_path_and_count_both_ways(alike: Engines) -> None:
    pair = await LinkPair.made(engines=alike)
    ours, _ = await pair.streams()
    ours.stream.write(bytes(100_000))
    await seconds(5)
    client, server = pair.client.statistics, pair.server.statistics
    assert (client.local, client.peer) == (pair.client.local, pair.client.peer)
    assert (server.local, server.peer) == (pair.server.local, pair.server.peer)
    assert client.engine.bytes_sent > 100_000
    # An MTU probe may have been too large for the path.
    assert client.engine.bytes_sent - 1500 < server.engine.bytes_received
    assert server.engine.bytes_received <= client.engine.bytes_sent
    assert client.engine.packets_sent > 100_000 / client.engine.mtu
    assert client.engine.packets_lost == client.engine.bytes_lost == 0
    assert client.engine.congestion_window > 0
    assert client.engine.rtt is not None
