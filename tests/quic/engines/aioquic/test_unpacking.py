"""Packets of an open connection come and go by ways of our own, and nobody can tell."""

from __future__ import annotations

import random

import pytest
from aioquic import tls
from aioquic.quic.connection import QuicConnection, QuicConnectionError, QuicReceiveContext
from aioquic.quic.packet import QuicErrorCode
from pair import Network, Pair

from quictunnel.quic.engines.aioquic.flights import FlightsConnection
from quictunnel.quic.engines.aioquic.unpacking import UnpackingConnection


def trace(**network: float) -> list[tuple[float, str, int]]:
    """Return when what datagrams come, by their sizes, over a bad path with much to say."""
    pair = Pair.trusting(Network(delay=0.02, seed=3))
    for end in pair.ends:  # signatures in a handshake are a byte longer or shorter: forget it
        loss = end.engine._loss
        loss.meet_new_path(pair.now, datagram_size=end.engine._max_datagram_size)
    for name, value in network.items():
        setattr(pair.network, name, value)
    pair.network.random.seed(3)
    dice = random.Random(5)
    came: list[tuple[float, str, int]] = []
    begun = pair.now
    pair.tap = lambda end, data: came.append(
        (round(pair.now - begun, 6), "client" if end is pair.client else "server", len(data))
    )  # to whom
    for _ in range(12):
        for end in pair.ends:
            end.open(bytes(dice.randrange(1, 60_000)), fin=dice.random() < 0.8)
        if dice.random() < 0.3:
            pair.client.engine.ping()
        pair.run_for(dice.random() * 0.1)
    pair.client.reset(min(pair.client.live), 7)
    pair.run_for(5.0)
    return came


@pytest.mark.parametrize(
    "network",
    [{}, {"jitter": 0.01, "loss": 0.05, "duplication": 0.05}],
    ids=["clean", "rough"],
)
@pytest.mark.parametrize(
    ("owner", "name"),
    [(FlightsConnection, "_is_settled"), (UnpackingConnection, "_may_be_short")],
    ids=["sent", "received"],
)
def test_the_way_is_ours_and_the_traffic_aioquics(
    owner: type, name: str, network: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = trace(**network)
    monkeypatch.setattr(owner, name, lambda *_: False)
    assert trace(**network) == ours


def test_bulk_comes_by_our_way_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair.trusting(Network(delay=0.01))
    monkeypatch.setattr(QuicConnection, "receive_datagram", None)
    monkeypatch.setattr(QuicConnection, "_payload_received", None)
    stream = pair.client.open()
    for _ in range(20):
        pair.client.write(stream, bytes(10_000))
        pair.run_for(0.1)
    pair.run(lambda: len(pair.server.inbox.get(stream, b"")) == 200_000)


def test_a_change_of_keys_that_the_peer_begins_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = Pair.trusting()
    by_aioquic: list[int] = []
    take = QuicConnection.receive_datagram
    monkeypatch.setattr(
        QuicConnection,
        "receive_datagram",
        lambda self, data, *rest: (by_aioquic.append(len(data)), take(self, data, *rest))[1],
    )
    for update in range(3):
        pair.server.engine.request_key_update()
        stream = pair.server.open(bytes(50_000))
        pair.run(lambda stream=stream: len(pair.client.inbox.get(stream, b"")) == 50_000)
        pair.run_for(0.5)
        assert 1 <= len(by_aioquic) <= 4 * (update + 1)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x0a", QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"\x0a\x00\x05abc", QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"\x02\x00", QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"\x08\x03abc", QuicErrorCode.STREAM_STATE_ERROR),
        (b"\x0e\x00\xbf\xff\xff\xff\x01a", QuicErrorCode.FLOW_CONTROL_ERROR),
        (b"\x0a\x00\x01a\x21", QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"\x0a\x00\x01a\x06\x00", QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"", QuicErrorCode.PROTOCOL_VIOLATION),
    ],
    ids=[
        "nothing-but-a-type",
        "shorter-than-it-says",
        "half-an-ack",
        "no-such-direction",
        "beyond-the-window",
        "unknown-after-data",
        "half-a-frame-after-data",
        "no-frames",
    ],
)
def test_a_peer_at_fault_hears_which_one(frames: bytes, code: QuicErrorCode) -> None:
    """What aioquic says of the same frames, ours says as well."""
    said = []
    for taken_by in (UnpackingConnection._take_frames, aioquics_way):
        pair = Pair.trusting()
        pair.client.open(b"hello")
        pair.run_for(1.0)
        engine = pair.server.engine
        with pytest.raises(QuicConnectionError) as caught:
            taken_by(engine, frames, pair.now)
        said.append((caught.value.error_code, caught.value.frame_type, caught.value.reason_phrase))
    assert said[0] == said[1]
    assert said[0][0] == code


def aioquics_way(engine: UnpackingConnection, frames: bytes, now: float) -> None:
    path = engine._network_paths[0]
    context = QuicReceiveContext(tls.Epoch.ONE_RTT, engine.host_cid, path, None, now, None)
    engine._payload_received(context, frames)
