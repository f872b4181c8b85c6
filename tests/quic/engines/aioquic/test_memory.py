"""Memory that a peer claims, and memory that is freed when a stream or a connection ends."""

from __future__ import annotations

import pytest
from attack import on_server
from pair import ROUGH, Network, Pair, assert_nothing_left

from quictunnel.quic.flow_control import HELLO_WINDOW
from quictunnel.quic.limits import HANDSHAKE_BYTES
from testkit.crafted_packets import crypto_frame, stream_frame

NETWORKS = [pytest.param({"delay": 0.01}, id="good"), pytest.param(ROUGH, id="bad")]


@pytest.fixture(params=NETWORKS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair.trusting(Network(**request.param))


def test_a_reset_lets_go_of_what_was_written(pair: Pair) -> None:
    stream = pair.client.open(bytes(8 * 1024 * 1024))
    pair.run_for(0.1)
    sender = pair.client.engine._table.open[stream].sender
    assert len(sender._buffer) > 4 * 1024 * 1024
    pair.network.cut = True
    pair.client.engine.reset(stream, 0x10)
    assert len(sender._buffer) == 0
    assert pair.client.engine.unsent(stream) == 0
    pair.network.cut = False
    pair.run(lambda: not pair.client.engine._table.open)
    assert_nothing_left(pair.client)


def test_a_peers_reset_lets_go_of_what_was_not_read(pair: Pair) -> None:
    stream = pair.client.open(bytes(100_000))
    pair.server.paused.add(stream)
    pair.run(lambda: pair.server.endpoint.budget.unread == 100_000)
    pair.client.engine.reset(stream, 0x10)
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(2.0)
    assert_nothing_left(*pair.ends)


def test_closing_gives_the_budget_back(pair: Pair) -> None:
    stream = pair.client.open(bytes(100_000))
    pair.server.paused.add(stream)
    pair.run(lambda: pair.server.endpoint.budget.unread == 100_000)
    pair.server.engine.close_with(0x20, "")
    pair.run(lambda: pair.server.closed is not None)
    assert pair.server.endpoint.budget.unread == 0


@pytest.mark.parametrize("ask", ["ping", "revive"])
def test_nothing_grows_while_a_link_is_silent(pair: Pair, ask: str) -> None:
    """Ten minutes of questions, and of probes, beside a stream that has much to send."""
    stream = pair.client.open(bytes(2_000_000))
    pair.run_for(0.5)
    pair.network.cut = True
    pair.run_for(5.0)
    sent = pair.client.sent_of(stream)
    remembered = _remembered(pair)
    for _ in range(1200):
        pair.client.engine.ping() if ask == "ping" else pair.client.engine.revive(pair.now)
        pair.run_for(0.5)
    assert pair.client.sent_of(stream) == sent
    assert _remembered(pair) <= remembered + 400  # of 1,200 questions
    pair.network.cut = False
    pair.client.engine.revive(pair.now)
    pair.run(lambda: len(pair.server.inbox.get(stream, b"")) == 2_000_000)
    pair.run(lambda: not pair.client.engine.unacknowledged)
    assert _remembered(pair) == 0
    assert pair.client.engine._loss.bytes_in_flight == 0


def test_an_unproven_peer_claims_little_memory_with_bytes_far_ahead() -> None:
    pair = Pair()
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    attack = on_server(pair)
    half = HELLO_WINDOW // 2
    attack.send(stream_frame(0, half - 1, b"x") + stream_frame(4, half - 1, b"x"))
    attack.send(crypto_frame(HANDSHAKE_BYTES - 1, b"x"))
    assert attack.target.closed is None
    engine = pair.server.engine
    streams = [*engine._table.open.values(), *engine._crypto_streams.values()]
    claimed = sum(len(stream.receiver._buffer) for stream in streams)
    assert claimed <= HELLO_WINDOW + HANDSHAKE_BYTES
    attack.send(stream_frame(8, 0, b"x"))
    assert attack.target.closed is not None, "beyond the window of the link"


def _remembered(pair: Pair) -> int:
    return sum(len(space.sent_packets) for space in pair.client.engine._loss.spaces)
