"""Stateless resets (RFC 9000, 10.3): who has forgotten a connection says so, and is believed.

A reset made with the key is believed, with either engine, and no other one. Answers are bounded.
"""

from __future__ import annotations

import hmac
import itertools
import os
import random

import pytest
from link_pair import LinkPair, over_links, seconds, settle, until
from pair import SERVER_PATH, Engines, Network, Pair, endpoint

from quictunnel.errors import LinkForgotten
from quictunnel.quic.engine import Path
from quictunnel.quic.path import liveness
from quictunnel.quic.settings import LinkSettings
from testkit.engines import ENGINES

KEY = bytes(range(32))
KEPT = LinkSettings(reset_key=KEY)
OTHER = LinkSettings(reset_key=bytes(32))
STRANGER = Path("198.51.100.9", 7777)

SMALLEST = 21
TOKEN = 16


def open_pair(engines: Engines, network: Network | None = None) -> Pair:
    """Return a pair with a stream on which both ends have something to say."""
    pair = Pair.trusting(network, engines=engines, settings=KEPT, echo=True)
    pair.stream = pair.client.open(b"hello")
    pair.run(lambda: pair.client.inbox.get(pair.stream) == b"hello")
    pair.run_for(1.0)
    return pair


def short(size: int = 100) -> bytes:
    """Return a datagram for some connection that there is not."""
    return bytes([0x40 | random.randrange(0x40)]) + os.urandom(size - 1)


def answers(end: object, data: bytes, now: float) -> list[bytes]:
    """Return the answer of an endpoint without connections to a datagram."""
    arrivals = end.receive([(data, STRANGER)], now)
    assert not arrivals.connections
    for newcomer in arrivals.incoming:
        end.ignore(newcomer)
    said = end.transmit()
    assert all(path[:2] == STRANGER[:2] for _, path in said)
    return [data for data, _ in said]


@pytest.fixture
def accepting(alike: Engines):
    """An accepting endpoint without connections."""
    return endpoint(alike[1], KEPT, accepts=True, streams=16)


# Resets that are believed


@pytest.mark.parametrize("after", ENGINES)
def test_a_restarted_end_is_found_out_within_a_round_trip(engines: Engines, after: str) -> None:
    pair = open_pair(engines)
    pair.restart_server(after, KEPT)
    pair.client.engine.ping()
    began = pair.now
    pair.run(lambda: pair.client.closed is not None, limit=0.1)
    assert pair.now - began == pytest.approx(2 * pair.network.delay, abs=0.01)
    assert pair.client.closed == (None, "the peer no longer knows the connection", True)
    assert pair.client.engine.forgotten_by_peer
    sent = pair.client.sent
    pair.run_for(60.0)
    assert pair.client.engine.is_terminated
    assert pair.client.sent == sent, "not another word"


@pytest.mark.parametrize("after", ENGINES)
def test_every_connection_id_has_its_token(engines: Engines, after: str) -> None:
    """That of the handshake, those given out with it, and those that replace them."""
    for moves in range(12):
        pair = open_pair(engines)
        for _ in range(moves):
            pair.client.engine.move(pair.now)
            pair.run_for(0.2)
        assert pair.client.closed is None
        pair.restart_server(after, KEPT)
        pair.client.engine.ping()
        pair.run(lambda pair=pair: pair.client.closed is not None, limit=0.1)
        assert pair.client.engine.forgotten_by_peer


def test_data_under_way_is_answered_too(engines: Engines) -> None:
    pair = open_pair(engines)
    pair.client.write(pair.stream, bytes(1_000_000))
    pair.run_for(0.1)
    pair.restart_server(engines[1], KEPT)
    pair.run(lambda: pair.client.closed is not None, limit=0.5)
    assert pair.client.engine.forgotten_by_peer


def test_a_connection_that_ends_otherwise_was_not_forgotten(engines: Engines) -> None:
    pair = open_pair(engines)
    assert not pair.client.engine.forgotten_by_peer
    pair.server.engine.close_with(0x20, "goodbye")
    pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed == (0x20, "goodbye", True)
    assert not pair.client.engine.forgotten_by_peer


def test_the_token_follows_from_the_key_as_the_protocol_says(accepting: object) -> None:
    data = short()
    (reset,) = answers(accepting, data, 0.0)
    assert reset[-TOKEN:] == hmac.digest(KEY, data[1:9], "sha256")[:TOKEN]
    assert reset[0] & 0xC0 == 0x40


def test_without_a_key_each_endpoint_has_its_own(alike: Engines) -> None:
    data = short()
    ends = [endpoint(alike[1], LinkSettings(), accepts=True, streams=16) for _ in range(2)]
    ((one,), (other,)) = (answers(end, data, 0.0) for end in ends)
    assert one[-TOKEN:] != other[-TOKEN:]


@over_links
async def test_a_link_that_was_forgotten_says_so_and_its_streams_with_it(engines: Engines) -> None:
    """The end that dialled finds out by itself, though it has nothing to say."""
    pair = await LinkPair.made(engines=engines, settings=KEPT)
    ours, _ = await pair.streams()
    pair.restart_server(engines[1], KEPT)
    await until(lambda: pair.client.is_closed, limit=liveness.PING_AFTER + 0.5)
    await settle()
    assert pair.client_session.calls == ["link_made", "link_lost"], "it was never silent"
    assert isinstance(pair.client_session.exc, LinkForgotten)
    assert pair.client_session.exc.code is None
    assert ours.exc is pair.client_session.exc


@over_links
async def test_a_link_that_was_silent_for_long_finds_out_as_well(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines, settings=KEPT)
    ours, _ = await pair.streams()
    pair.network.cut = True
    ours.stream.write(bytes(10_000))
    await seconds(600)
    assert pair.client.is_silent
    pair.restart_server(engines[1], KEPT)
    await seconds(60)
    assert not pair.client.is_closed
    pair.network.cut = False
    await until(lambda: pair.client.is_closed, limit=1.1)
    assert isinstance(pair.client.lost, LinkForgotten)


# Resets that are not


def test_who_has_another_key_is_not_believed(engines: Engines) -> None:
    pair = open_pair(engines)
    pair.restart_server(engines[1], OTHER)
    for _ in range(20):
        pair.client.engine.ping()
        pair.run_for(1.0)
    assert pair.client.closed is None


def test_a_forged_reset_does_nothing(engines: Engines) -> None:
    pair = open_pair(engines)
    heard: list[bytes] = []
    pair.tap = lambda end, data: heard.append(data) if end is pair.server else None
    pair.client.write(pair.stream, b"more")
    pair.run_for(1.0)
    connection_id = heard[-1][1:9]
    token = hmac.digest(KEY, connection_id, "sha256")[:TOKEN]
    forged = [
        short(),
        short() + token[:-1] + bytes([token[-1] ^ 1]),
        short() + hmac.digest(bytes(32), connection_id, "sha256")[:TOKEN],
        short() + token + b"!",
        short()[:4] + token,
        short() + bytes(TOKEN),
        b"\x40" + token,
    ]
    for data in forged:
        pair.client.take([(data, SERVER_PATH)], pair.now)
    pair.client.write(pair.stream, b"!")
    pair.run(lambda: pair.client.inbox[pair.stream] == b"hellomore!")
    pair.client.take([(short() + token, SERVER_PATH)], pair.now)
    pair.run_for(0.0)
    assert pair.client.engine.forgotten_by_peer, "and the true one would have"


def test_the_token_of_an_id_that_was_retired_does_nothing(engines: Engines) -> None:
    pair = open_pair(engines)
    heard: list[bytes] = []
    pair.tap = lambda end, data: heard.append(data) if end is pair.server else None
    pair.client.engine.ping()
    pair.run_for(1.0)
    before = heard[-1][1:9]
    pair.client.engine.move(pair.now)
    pair.run_for(1.0)
    assert heard[-1][1:9] != before
    token = hmac.digest(KEY, before, "sha256")[:TOKEN]
    pair.client.take([(short() + token, SERVER_PATH)], pair.now)
    pair.run_for(1.0)
    assert pair.client.closed is None


# Nobody is flooded


def test_an_answer_is_shorter_than_what_it_answers(accepting: object) -> None:
    for number, size in enumerate((*range(1, 60), 100, 500, 1200, 1452)):
        said = answers(accepting, short(size), 1.0 + number)
        assert len(said) == (1 if size > SMALLEST else 0), size
        assert all(SMALLEST <= len(reset) < size for reset in said)


def test_two_ends_that_know_nothing_fall_silent(engines: Engines) -> None:
    ends = [endpoint(engine, KEPT, accepts=True, streams=16) for engine in engines]
    now = 0.0
    said = [short(1200)]
    for end in itertools.islice(itertools.cycle(ends), 2_000):
        if not said:
            return
        now += 1.0
        said = answers(end, said[0], now)
    pytest.fail("they talk for ever")


def test_few_are_answered_a_second(accepting: object) -> None:
    said = [answers(accepting, short(), 1.0 + number / 10_000) for number in range(10_000)]
    assert 100 <= sum(map(len, said)) <= 201


def test_packets_that_begin_connections_are_not_answered_so(accepting: object) -> None:
    for first in (0xC0, 0xD0, 0xE0, 0xF0):
        data = (
            bytes([first]) + bytes.fromhex("0000000108") + os.urandom(8) + b"\x08" + os.urandom(500)
        )
        assert answers(accepting, data, 0.0) == []


def test_who_dials_answers_no_stranger_with_more(alike: Engines) -> None:
    pair = open_pair(alike)
    pair.client.take([(short(), STRANGER)], pair.now)
    assert sum(len(data) for data, _ in pair.client.endpoint.transmit()) < 100
    pair.run_for(1.0)
    assert pair.client.closed is None
