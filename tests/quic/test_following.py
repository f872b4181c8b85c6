"""The accepting end soon follows a peer that has moved, and no other datagram.

Datagrams to an address that no end has do not arrive.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from link_pair import LinkPair, over_links, seconds, until
from pair import CLIENT_PATH, End, Engines, Network, Pair

from quictunnel.quic.engine import Datagram, Path
from quictunnel.quic.path.liveness import PING_WHEN_BUSY_AFTER, SILENT_PING_INTERVAL

DELAY = 0.1
ROUND_TRIP = 2 * DELAY
SLACK = 0.1
"""Seconds for what is paced, and for acknowledgements that are put off."""

ELSEWHERE = Path("198.51.100.9", 7777)
OTHER_FAMILY = Path("2001:db8:7::7", 7777)
OTHER_PORT = Path(CLIENT_PATH.host, 7777)
"""As a NAT gives one, once it has forgotten the one before."""

AMPLIFICATION = 3
"""Times as many bytes as came from an address may go there before it is validated (RFC 9000, 8)."""


def under_way(engines: Engines, *, sender: str) -> tuple[Pair, int]:
    """Return a pair with megabytes under way on a stream from one end to the other."""
    pair = Pair.trusting(Network(delay=DELAY, rate=1e6), engines=engines)
    data = bytes(range(256)) * 6000
    stream = pair.client.open(data if sender == "client" else b"?", fin=True)
    if sender == "server":
        pair.run(lambda: stream in pair.server.fins)
        pair.server.engine.write(stream, data)
        pair.server.engine.finish(stream)
    pair.run_for(1.0)
    return pair, stream


@pytest.mark.parametrize("place", [ELSEWHERE, OTHER_FAMILY, OTHER_PORT], ids=["ip", "v6", "port"])
@pytest.mark.parametrize("sender", ["client", "server"])
def test_lost_data_is_there_within_round_trips_whoever_has_it(
    sender: str, place: Path, engines: Engines
) -> None:
    """Two of them: the peer's word and the answer, and what was lost. quinn may take one more to
    find out what was lost on an address that differs in its port alone."""
    pair, stream = under_way(engines, sender=sender)
    receiver = pair.server if sender == "client" else pair.client
    pair.network.cut = True
    pair.run_for(20.0)
    pair.network.cut = False
    before = len(receiver.inbox[stream])
    pair.client.path = place
    pair.client.engine.move(pair.now)
    pair.run(lambda: len(receiver.inbox[stream]) > before, limit=3 * ROUND_TRIP + SLACK)
    assert pair.server.engine.peer == place[:2]
    pair.run(lambda: stream in receiver.fins)


def captured(pair: Pair) -> bytes:
    """Return a valid datagram of the client that has not reached the server."""
    heard: list[bytes] = []

    def capture(end: End, datagrams: Sequence[Datagram]) -> None:
        if end is pair.client:
            heard.extend(data for data, _ in datagrams)

    send, pair._send = pair._send, capture
    pair.client.engine.ping()
    pair.run_for(0.001)
    pair._send = send
    assert heard
    return heard[0]


def test_a_datagram_that_a_stranger_brings_first_leads_away_for_a_moment_at_most(
    engines: Engines,
) -> None:
    """It is genuine, so the address is tried, but the peer is elsewhere and does not answer."""
    pair, stream = under_way(engines, sender="server")
    stolen = captured(pair)
    pair.server.take([(stolen, ELSEWHERE)], pair.now)
    pair.run(lambda: stream in pair.client.fins, limit=30)
    assert pair.server.engine.peer == pair.client.path[:2]
    assert pair.astray.get(ELSEWHERE[:2], 0) <= AMPLIFICATION * len(stolen) + 1200


def test_an_idle_pair_too_finds_back_from_where_a_stranger_led(engines: Engines) -> None:
    pair = Pair.trusting(Network(delay=DELAY), engines=engines)
    stolen = captured(pair)
    pair.server.take([(stolen, ELSEWHERE)], pair.now)
    pair.run_for(5.0)
    assert pair.server.engine.peer == pair.client.path[:2]
    assert pair.astray.get(ELSEWHERE[:2], 0) <= AMPLIFICATION * len(stolen) + 1200
    stream = pair.client.open(b"hello", fin=True)
    pair.run(lambda: stream in pair.server.fins, limit=1.0)


def test_what_was_heard_before_leads_nowhere_when_it_is_repeated(engines: Engines) -> None:
    pair, stream = under_way(engines, sender="client")
    heard: list[bytes] = []
    pair.tap = lambda end, data: heard.append(data) if end is pair.server else None
    pair.run_for(0.2)
    assert len(heard) > 20
    for data in heard:
        pair.server.take([(data, ELSEWHERE)], pair.now)
        assert pair.server.engine.peer == pair.client.path[:2]
    pair.run(lambda: stream in pair.server.fins)
    assert ELSEWHERE[:2] not in pair.astray


def test_a_stranger_with_an_address_that_is_not_his_leads_nowhere(engines: Engines) -> None:
    """He knows the connection id, which every router on the path sees, and has no key."""
    pair, stream = under_way(engines, sender="client")
    heard: list[bytes] = []
    pair.tap = lambda end, data: heard.append(data) if end is pair.server else None
    pair.run_for(0.2)
    for number, data in enumerate(heard):
        forged = bytearray(data)
        forged[-1 - number % 20] ^= 0x80
        pair.server.take([(bytes(forged), ELSEWHERE)], pair.now)
    assert pair.server.engine.peer == pair.client.path[:2]
    pair.run(lambda: stream in pair.server.fins)
    assert ELSEWHERE[:2] not in pair.astray


# Links


@over_links
async def test_while_there_are_clients_the_dialling_end_asks_after_a_second(
    engines: Engines,
) -> None:
    """So a NAT that has forgotten it is met within a second, even if only the peer has data."""
    pair = await LinkPair.made(engines=engines)
    before = len(pair.client_socket.batches)
    await seconds(10)
    assert len(pair.client_socket.batches) - before <= 4
    await pair.streams()  # as the control stream, which is no client
    before = len(pair.client_socket.batches)
    await seconds(10)
    assert len(pair.client_socket.batches) - before <= 4
    ours, _ = await pair.streams()
    before = len(pair.client_socket.batches)
    await seconds(10)
    assert len(pair.client_socket.batches) - before >= 10 / PING_WHEN_BUSY_AFTER - 2
    ours.stream.abort()
    await seconds(2)
    before = len(pair.client_socket.batches)
    await seconds(10)
    assert len(pair.client_socket.batches) - before <= 4


@pytest.mark.parametrize("outage", [0.7, 2.2, 5.0, 61.3])
@over_links
async def test_what_the_accepting_end_has_to_say_comes_within_a_second_of_the_networks_return(
    outage: float, engines: Engines
) -> None:
    """The dialling end has nothing to say, and each question may be lost as well."""
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    pair.network.cut = True
    theirs.stream.write(b"news")
    await seconds(outage)
    assert not ours.data
    pair.network.cut = False
    await until(lambda: ours.data == b"news", limit=2 * SILENT_PING_INTERVAL)
