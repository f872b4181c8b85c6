"""A link goes on from another address: after an outage, by a new socket, by no stranger."""

from __future__ import annotations

import asyncio

import pytest
from endpoints import TIMEOUT, Trusting, closed, dialled, listening
from link_pair import LinkPair, over_links, until
from pair import Engines, Network, Pair

from quictunnel.protocol.address import Address
from quictunnel.quic.engine import Path
from quictunnel.quic.path.liveness import PING_AFTER
from testkit.clock import seconds

ELSEWHERE = Path("198.51.100.9", 7777)
MIB = 1024 * 1024


@pytest.mark.parametrize("sender", ["the end that moves", "the end that follows"])
@pytest.mark.parametrize("outage", [0.0, 2.0, 60.0])
def test_data_moves_again_within_a_few_round_trips(
    sender: str, outage: float, engines: Engines
) -> None:
    pair = Pair.trusting(Network(delay=0.01, rate=2.5e6), engines=engines)
    moves = sender == "the end that moves"
    end, other = (pair.client, pair.server) if moves else (pair.server, pair.client)
    data = bytes(range(256)) * 4096 * 2
    stream = pair.client.open(data if moves else b"?", fin=True)
    if not moves:
        pair.run(lambda: stream in pair.server.fins)
        end.engine.write(stream, data)
        end.engine.finish(stream)
    pair.run_for(0.3)

    pair.network.cut = True
    pair.run_for(outage)
    pair.network.cut = False
    pair.client.path = ELSEWHERE
    before = len(other.inbox[stream])
    assert before < len(data)
    pair.client.engine.move(pair.now)

    pair.run(lambda: len(other.inbox[stream]) > before, limit=0.2)
    pair.run(lambda: stream in other.fins)
    assert other.inbox[stream] == data
    assert pair.server.engine.peer == ELSEWHERE[:2]


def test_a_move_begins_with_what_every_path_carries(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    assert [end.probe.datagram_size(end.engine) for end in pair.ends] == [1452, 1452]
    pair.network.mtu = 1200
    pair.client.path = ELSEWHERE
    pair.client.engine.move(pair.now)
    stream = pair.client.open(bytes(MIB), fin=True)
    pair.run(lambda: stream in pair.server.fins, limit=10)
    assert [end.probe.datagram_size(end.engine) for end in pair.ends] == [1200, 1200]


@pytest.mark.parametrize("outage", [0.0, 20.0])
@pytest.mark.parametrize("rate", [0.6e6, 1.5e6])
def test_the_new_path_is_used_for_what_it_carries_soon(
    outage: float, rate: float, engines: Engines
) -> None:
    network = Network(delay=0.02, rate=1.5e6)
    pair = Pair.trusting(network, engines=engines)
    stream = pair.client.open(b"?", fin=True)
    pair.run(lambda: stream in pair.server.fins)
    pair.server.engine.write(stream, bytes(8 * MIB))
    pair.run_for(1.0)

    network.cut = True
    pair.run_for(outage)
    network.cut = False
    network.rate = rate
    pair.client.path = ELSEWHERE
    pair.client.engine.move(pair.now)
    pair.run_for(0.5)
    before = len(pair.client.inbox[stream])
    pair.run_for(1.0)
    assert len(pair.client.inbox[stream]) - before > 0.75 * rate


def test_twenty_moves_lose_nothing(engines: Engines) -> None:
    pair = Pair.trusting(Network(delay=0.01, rate=2.5e6, loss=0.01), engines=engines)
    data = bytes(range(256)) * 4096 * 4
    stream = pair.client.open(data, fin=True)
    for number in range(20):
        pair.run_for(0.05)
        pair.client.path = Path("198.51.100.9", 7000 + number)
        pair.client.engine.move(pair.now)
    assert stream not in pair.server.fins
    pair.run(lambda: stream in pair.server.fins)
    assert pair.server.inbox[stream] == data


def test_a_stranger_moves_nothing(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    heard: list[bytes] = []
    pair.tap = lambda end, data: heard.append(data) if end is pair.server else None
    stream = pair.client.open(b"hello", fin=True)
    pair.run(lambda: stream in pair.server.fins)
    for data in heard:
        pair.server.take([(data, ELSEWHERE)], pair.now)
        pair.server.take([(data[:-1] + b"!", ELSEWHERE)], pair.now)
    pair.run_for(1.0)
    assert pair.server.engine.peer == pair.client.path[:2]


async def test_a_suspect_path_is_left_for_a_new_socket_and_streams_live_on(
    engines: Engines,
) -> None:
    protocol = Trusting()
    async with listening(protocol_factory=lambda: protocol, engine=engines[1]) as listener:
        link = await dialled(listener.address.port, engine=engines[0])
        reader = asyncio.StreamReader()
        stream_protocol = asyncio.StreamReaderProtocol(reader)
        stream = link.open_stream(stream_protocol)
        async with asyncio.timeout(TIMEOUT):
            stream.write(b"before")
            assert await reader.readexactly(6) == b"before"
            old = link.local
            link.on_unanswered()
            stream.write(b"after")
            assert await reader.readexactly(5) == b"after"
            assert link.local != old
            assert (await protocol.made).peer == link.local
        stream.abort()
        await closed(link)


@over_links
async def test_a_move_is_told_at_both_ends_within_seconds(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    await seconds(20)
    sessions = (pair.client_session, pair.server_session)
    assert [session.moves for session in sessions] == [[], []]
    before = pair.server.peer
    pair.client_socket.path = ELSEWHERE
    pair.client.move(pair.client_socket, Address(*ELSEWHERE[:2]), pair.client.peer)
    await until(lambda: all(session.moves for session in sessions), limit=PING_AFTER + 5)
    await seconds(20)
    assert pair.client_session.moves == [(Address(*ELSEWHERE[:2]), pair.client.peer)]
    assert pair.server_session.moves == [(pair.server.local, Address(*ELSEWHERE[:2]))]
    assert before != pair.server.peer
    assert pair.server_session.calls == ["link_made"]
