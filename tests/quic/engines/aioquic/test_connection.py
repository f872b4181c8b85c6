"""The connection: its short cut for 1-RTT packets, the order of events, statistics and reasons."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription, Epoch
from pair import Network, Pair

from quictunnel.quic.engine import Path
from quictunnel.quic.engines.aioquic.connection import AioquicEngine, _error_name

if TYPE_CHECKING:
    from collections.abc import Callable


def trace(**network: float) -> list[tuple[float, str, int]]:
    """Return which datagrams arrive on a path with much traffic: when, where, and their sizes."""
    pair = Pair.trusting(Network(delay=0.02, seed=3))
    for end in pair.ends:  # the handshake is not repeatable: signatures differ in size
        loss = end.engine._loss
        loss.start_path(pair.now, datagram_size=end.engine._max_datagram_size)
    for name, value in network.items():
        setattr(pair.network, name, value)
    pair.network.random.seed(3)
    dice = random.Random(5)
    arrived: list[tuple[float, str, int]] = []
    began = pair.now
    pair.tap = lambda end, data: arrived.append(
        (round(pair.now - began, 6), "client" if end is pair.client else "server", len(data))
    )
    for _ in range(12):
        for end in pair.ends:
            end.open(bytes(dice.randrange(1, 60_000)), fin=dice.random() < 0.8)
        if dice.random() < 0.3:
            pair.client.engine.ping()
        pair.run_for(dice.random() * 0.1)
    pair.client.reset(min(pair.client.live), 7)
    pair.run_for(5.0)
    return arrived


@pytest.mark.parametrize(
    "network",
    [{}, {"jitter": 0.01, "loss": 0.05, "duplication": 0.05}],
    ids=["clean", "rough"],
)
def test_the_short_cuts_do_what_aioquic_does(
    network: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = trace(**network)
    monkeypatch.delattr(AioquicEngine, "receive_datagram")
    monkeypatch.setattr(AioquicEngine, "_may_have_other_frames", lambda *_: True)
    assert trace(**network) == ours


def expect_ack(engine: AioquicEngine) -> None:
    engine._spaces[Epoch.ONE_RTT].ack_at = 0.0


def raise_data_limit(engine: AioquicEngine) -> None:
    engine._local_max_data.value += 1


def raise_stream_limit(engine: AioquicEngine) -> None:
    engine.allow_streams(10_000)


def move_window(engine: AioquicEngine) -> None:
    stream = next(iter(engine._table.open.values()))
    engine._table.windows_moved[stream.id] = stream


def open_too_many_streams(engine: AioquicEngine) -> None:
    while not engine._streams_blocked_pending:
        engine.open_stream()


def probe(engine: AioquicEngine) -> None:
    engine._send_probe()


def ping(engine: AioquicEngine) -> None:
    engine.send_ping(0)


def be_challenged(engine: AioquicEngine) -> None:
    engine._network_paths[0].remote_challenges.append(bytes(8))


def leave_the_validated_path(engine: AioquicEngine) -> None:
    path = engine._network_paths[0]
    path.is_validated = path.local_challenge_sent = False


def retire_an_id(engine: AioquicEngine) -> None:
    engine._retire_connection_ids.append(0)


def lose_a_new_id(engine: AioquicEngine) -> None:
    engine._host_cids[0].was_sent = False


def finish_the_handshake(engine: AioquicEngine) -> None:
    engine._handshake_done_pending = True


def write_a_ticket(engine: AioquicEngine) -> None:
    engine._crypto_streams[Epoch.ONE_RTT].sender.write(b"ticket")


def close(engine: AioquicEngine) -> None:
    engine.close_with(0, "")


@pytest.mark.parametrize(
    "cause",
    [
        expect_ack, raise_data_limit, raise_stream_limit, move_window, open_too_many_streams, probe,
        ping, be_challenged, leave_the_validated_path, retire_an_id, lose_a_new_id,
        finish_the_handshake, write_a_ticket, close,
    ],
    ids=lambda cause: cause.__name__,
)  # fmt: skip
def test_each_kind_of_frame_is_sent_without_stream_data(
    cause: Callable[[AioquicEngine], None],
) -> None:
    pair = Pair.trusting()
    pair.client.open(b"a")
    pair.run_for(1.0)
    engine = pair.server.engine
    assert engine.transmit(pair.now) == []
    cause(engine)
    assert engine.transmit(pair.now)


def count_long_way(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each datagram that aioquic's own method takes."""
    sizes: list[int] = []
    take = QuicConnection.receive_datagram
    monkeypatch.setattr(
        QuicConnection,
        "receive_datagram",
        lambda self, data, *rest: (sizes.append(len(data)), take(self, data, *rest))[1],
    )
    return sizes


@pytest.mark.parametrize("moves", [0, 3])
def test_bulk_takes_the_short_cut_also_after_moves(
    moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair.trusting(Network(delay=0.01))
    for number in range(moves):
        pair.client.path = Path("198.51.100.9", 7000 + number)
        pair.client.engine.move(pair.now)
        pair.run_for(1.0)
    long_way = count_long_way(monkeypatch)
    stream = pair.client.open()
    for _ in range(20):
        pair.client.write(stream, bytes(10_000))
        pair.run_for(0.1)
    assert len(pair.server.inbox[stream]) == 200_000
    assert long_way == []


def test_a_pacing_timer_ends_when_nothing_is_left_to_send() -> None:
    pair = Pair.trusting(echo=True)
    stream = pair.client.open(b"?")
    pair.run(lambda: stream in pair.client.inbox)
    pair.server.paused = None  # the server reads nothing now, so it sends no more than ACKs
    pacer = pair.server.engine._loss.pacer
    assert pacer.rate
    pacer._tokens = -0.5 * pacer.rate  # as after a burst: no packet for half a second
    pair.client.write(stream, b"!")
    pair.run_for(2.0)  # fails if the timer stays due
    assert pair.server.due > pair.now, "only the timer of the idle connection is left"


def test_a_key_update_of_the_peer_is_followed() -> None:
    pair = Pair.trusting()
    for _ in range(3):
        pair.server.engine.request_key_update()
        stream = pair.server.open(bytes(50_000))
        pair.run(lambda stream=stream: len(pair.client.inbox.get(stream, b"")) == 50_000)
        pair.run_for(0.5)


def packet_of(pair: Pair, frames: bytes, *, first_byte: int = 0x41) -> bytes:
    """Return a genuine packet of the client's."""
    engine = pair.client.engine
    number = engine._packet_number
    engine._packet_number += 1
    header = bytes([first_byte]) + engine._peer_cid.cid + (number & 0xFFFF).to_bytes(2, "big")
    return engine._cryptos[Epoch.ONE_RTT].encrypt_packet(header, frames, number)


@pytest.mark.parametrize(
    ("frames", "first_byte", "code"),
    [
        (b"\x0a\x00\x05abc", 0x41, QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"\x08\x03abc", 0x41, QuicErrorCode.STREAM_STATE_ERROR),
        (b"\x0a\x00\x01a\x21", 0x41, QuicErrorCode.FRAME_ENCODING_ERROR),
        (b"\x01\x00\x00\x00", 0x59, QuicErrorCode.PROTOCOL_VIOLATION),
    ],
    ids=["short-frame", "wrong-direction", "unknown-frame", "reserved-bits"],
)
def test_a_peer_at_fault_is_told_why(frames: bytes, first_byte: int, code: QuicErrorCode) -> None:
    pair = Pair.trusting()
    data = packet_of(pair, frames, first_byte=first_byte)
    pair.server.take([(data, pair.client.path)], pair.now)
    assert pair.server.engine._close_event.error_code == code
    pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed[1].startswith(code.name.lower())


def test_a_datagram_that_comes_twice_changes_nothing() -> None:
    pair = Pair.trusting()
    data = packet_of(pair, b"\x0a\x00\x05hello")
    for _ in range(2):
        pair.server.take([(data, pair.client.path)], pair.now)
    pair.run(lambda: pair.server.inbox.get(0) == b"hello")
    pair.run_for(1.0)
    assert pair.server.inbox[0] == b"hello"


def test_a_forged_datagram_changes_nothing() -> None:
    pair = Pair.trusting()
    stream = pair.client.open(b"hello")
    engine = pair.server.engine
    before = engine._close_at
    forged = bytes([0x41]) + engine.host_cid + bytes(range(100))
    pair.server.take([(forged, pair.client.path)], pair.now + 1.0)
    assert engine._close_at == before
    pair.run(lambda: pair.server.inbox.get(stream) == b"hello")


def test_streams_are_readable_in_the_order_in_which_their_data_came() -> None:
    """As many bytes on as many streams, each before the next, in one batch of datagrams."""
    pair = Pair.trusting(Network(delay=0.01), streams=100)
    streams = [pair.client.open(b".") for _ in range(50)]
    pair.run(lambda: len(pair.server.inbox) == len(streams))
    order = random.Random(1).sample(streams, len(streams))
    readable: list[int] = []
    pair.server.on_stream_readable = readable.append
    for stream in order:
        pair.client.write(stream, b"!")
    pair.run(lambda: len(readable) == len(streams))
    assert readable == order


def test_streams_are_opened_before_anything_happens_to_them() -> None:
    pair = Pair.trusting(streams=100)
    heard: list[tuple[str, int]] = []
    server = pair.server
    for name in ("opened", "readable", "reset"):
        method = f"on_stream_{name}"
        setattr(server, method, lambda stream, *_, name=name: heard.append((name, stream)))
    streams = [pair.client.open() for _ in range(3)]
    pair.client.reset(streams[2], 7)  # opens the lower ones as well (RFC 9000, 2.1)
    pair.client.write(streams[0], b"!")
    pair.run_for(1.0)
    assert {name for name, _ in heard} == {"opened", "readable", "reset"}
    assert [one for one in heard if one[0] == "opened"] == [("opened", one) for one in streams]
    for name, stream in heard:
        assert heard.index(("opened", stream)) <= heard.index((name, stream))


def test_statistics() -> None:
    pair = Pair(Network(delay=0.05))
    assert pair.client.engine.statistics.rtt is None
    assert pair.client.engine.statistics.bytes_sent == 0
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    pair.server.engine.trust()
    pair.run_for(2.0)
    arrived = {"bytes": 0, "datagrams": 0}

    def count(end: object, data: bytes) -> None:
        if end is pair.server:
            arrived["bytes"] += len(data)
            arrived["datagrams"] += 1

    before = pair.client.engine.statistics, pair.server.engine.statistics
    pair.tap = count
    stream = pair.client.open(bytes(300_000), fin=True)
    pair.run(lambda: stream in pair.server.fins)
    pair.run_for(1.0)
    client, server = pair.client.engine.statistics, pair.server.engine.statistics
    assert client.rtt == pytest.approx(0.1, rel=0.1)
    assert client.mtu == 1452
    assert client.congestion_window == pair.client.engine._loss.congestion_window
    assert client.bytes_sent - before[0].bytes_sent == arrived["bytes"]
    assert server.bytes_received - before[1].bytes_received == arrived["bytes"]
    assert client.packets_sent - before[0].packets_sent == arrived["datagrams"]
    assert (client.packets_lost, client.bytes_lost) == (0, 0)


def test_statistics_of_losses() -> None:
    """A packet that a probe timeout sends again was not declared lost (RFC 9002, 6.2)."""
    pair = Pair.trusting(Network(delay=0.05, mtu=1200))
    pair.run_for(60.0)  # probes of the MTU are lost, and do not count
    lost: list[int] = []
    arrivals = pair.network.arrivals

    def drop_some(size: int, way: object, now: float) -> list[float]:
        if way is pair.client and size > 1000 and len(lost) < 5:
            lost.append(size)
            return []
        return arrivals(size, way, now)

    pair.network.arrivals = drop_some
    stream = pair.client.open(bytes(300_000), fin=True)
    pair.run(lambda: stream in pair.server.fins)
    statistics = pair.client.engine.statistics
    assert statistics.packets_lost == len(lost) == 5
    assert statistics.bytes_lost == sum(lost)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (QuicErrorCode.FLOW_CONTROL_ERROR, "flow_control_error"),
        (QuicErrorCode.CRYPTO_ERROR + AlertDescription.bad_certificate, "bad_certificate"),
        (QuicErrorCode.CRYPTO_ERROR + 0xFE, "QUIC error 0x1fe"),
        (0x4242, "QUIC error 0x4242"),
    ],
)
def test_an_error_has_a_name(code: int, name: str) -> None:
    assert _error_name(code) == name
