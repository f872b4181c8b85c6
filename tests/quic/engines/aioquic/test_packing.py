"""Packets of an open connection: our builder makes of frames what aioquic's makes of them."""

from __future__ import annotations

import inspect
import re

import pytest
from aioquic import tls
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicFrameType, QuicPacketType, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicPacketBuilder, QuicPacketBuilderStop, QuicSentPacket
from hypothesis import example, given, settings, strategies
from pair import Network, Pair

from quictunnel.quic.engines.aioquic import flights as module
from quictunnel.quic.engines.aioquic import packing
from quictunnel.quic.engines.aioquic.packing import ShortPackets

SUITES = [
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
]
FRAMES = [
    QuicFrameType.ACK,
    QuicFrameType.CRYPTO,
    QuicFrameType.MAX_DATA,
    QuicFrameType.PADDING,
    QuicFrameType.PING,
    QuicFrameType.STREAM_BASE | 0x0E,
]

frames = strategies.tuples(strategies.sampled_from(FRAMES), strategies.integers(0, 1500))
packets = strategies.lists(strategies.lists(frames, max_size=4), max_size=5)


def keys(suite: tls.CipherSuite, phase: int) -> CryptoPair:
    pair = CryptoPair()
    for context in (pair.recv, pair.send):
        secret = bytes(range(48 if suite is tls.CipherSuite.AES_256_GCM_SHA384 else 32))
        context.setup(cipher_suite=suite, secret=secret, version=int(QuicProtocolVersion.VERSION_1))
        context.key_phase = phase
    return pair


def build(
    builder: QuicPacketBuilder, crypto: CryptoPair, content: list[list[tuple[int, int]]]
) -> tuple[list[bytes], list[QuicSentPacket], int, list[int], bool]:
    """Return what becomes of frames of these types and sizes, and what was said on the way."""
    said = []
    stopped = False
    try:
        for packet in content:
            builder.start_packet(QuicPacketType.ONE_RTT, crypto)
            for frame_type, size in packet:
                said += [builder.remaining_flight_space, builder.remaining_buffer_space]
                buf = builder.start_frame(frame_type, size + 1, print, (frame_type, size))
                buf.push_bytes(bytes(size))
                said += [builder.packet_is_empty, builder.packet_number, builder._buffer.tell()]
    except QuicPacketBuilderStop:
        stopped = True
    datagrams, built = builder.flush()
    return datagrams, built, builder.packet_number, said, stopped


@given(
    content=packets,
    suite=strategies.sampled_from(SUITES),
    phase=strategies.sampled_from([0, 1]),
    spin=strategies.booleans(),
    cid=strategies.binary(max_size=20),
    number=strategies.integers(0, 2**40),
    size=strategies.integers(1200, 1452),
    room=strategies.integers(-3000, 9000),
)
@example([[(QuicFrameType.PING, 0)]], SUITES[0], 0, False, b"12345678", 0xFFFF, 1200, 1200)
@settings(deadline=None)
def test_packets_are_what_aioquic_makes_of_the_same_frames(
    content: list[list[tuple[int, int]]],
    suite: tls.CipherSuite,
    phase: int,
    spin: bool,
    cid: bytes,
    number: int,
    size: int,
    room: int,
) -> None:
    crypto = keys(suite, phase)
    common = {
        "max_datagram_size": size,
        "packet_number": number,
        "peer_cid": cid,
        "spin_bit": spin,
    }
    version = int(QuicProtocolVersion.VERSION_1)
    theirs = QuicPacketBuilder(**common, host_cid=b"", is_client=True, version=version)
    theirs.max_flight_bytes = room
    ours = ShortPackets(**common, crypto=crypto, max_flight_bytes=room)
    assert build(ours, crypto, content) == build(theirs, crypto, content)


def test_whatever_writes_a_frame_finds_what_it_asks_a_builder_for() -> None:
    """Ours does not begin as aioquic's does, and has not all of its attributes."""
    asked = {
        name
        for method, function in inspect.getmembers(QuicConnection, inspect.isfunction)
        if re.fullmatch("_write_.*_frame", method)
        for name in re.findall(r"\bbuilder\.(\w+)", inspect.getsource(function))
    }
    assert {"packet_number", "remaining_buffer_space", "start_frame"} <= asked
    ours = ShortPackets(
        crypto=keys(SUITES[0], 0),
        max_datagram_size=1200,
        max_flight_bytes=1200,
        packet_number=0,
        peer_cid=b"",
        spin_bit=False,
    )
    ours.start_packet(QuicPacketType.ONE_RTT, keys(SUITES[0], 0))
    assert not {name for name in asked if not hasattr(ours, name)}


@pytest.fixture
def flights(monkeypatch: pytest.MonkeyPatch) -> list[ShortPackets]:
    """Each builder of ours from now on."""
    made: list[ShortPackets] = []

    class Noted(packing.ShortPackets):
        def __init__(self, **arguments: object) -> None:
            super().__init__(**arguments)
            made.append(self)

    monkeypatch.setattr(module, "ShortPackets", Noted)
    return made


def test_an_open_connection_sends_by_our_builder_alone(
    flights: list[ShortPackets], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair.trusting(Network(delay=0.01))
    pair.run_for(1.0)
    flights.clear()
    monkeypatch.setattr(QuicPacketBuilder, "_end_packet", None)  # not by aioquic's
    engine = pair.client.engine
    number = engine._packet_number
    stream = pair.client.open(bytes(100_000))
    pair.run_for(1.0)
    assert engine.unsent(stream) == 0
    assert not engine.unacknowledged
    assert flights
    assert engine._packet_number >= number + 70


def test_aioquic_pads_what_must_be_padded(flights: list[ShortPackets]) -> None:
    """A datagram with PATH_RESPONSE has 1,200 bytes at least (RFC 9000, 8.2.2)."""
    pair = Pair.trusting()
    pair.run_for(1.0)
    flights.clear()
    engine = pair.client.engine
    engine._network_paths[0].remote_challenges.append(bytes(8))
    sent = engine.transmit(pair.now)
    assert [len(datagram) >= 1200 for datagram, _ in sent] == [True]
    assert not flights


def test_a_new_phase_of_keys_is_begun_by_aioquic(flights: list[ShortPackets]) -> None:
    pair = Pair.trusting()
    pair.run_for(1.0)
    engine = pair.client.engine
    engine.request_key_update()
    flights.clear()
    for content in (b"with the key update", b"after it"):
        assert (not flights) == (content == b"with the key update")
        stream = pair.client.open(content)
        pair.run_for(1.0)
        assert engine.unsent(stream) == 0
        assert not engine.unacknowledged
    assert {flight._first_byte & packing.KEY_PHASE_BIT for flight in flights} == {4}
