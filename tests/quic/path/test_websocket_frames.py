"""The frames of a WebSocket: one datagram in each, and what ends the WebSocket."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from quictunnel.quic.path.websocket_frames import (
    MAX_CONTROL,
    MAX_DATAGRAM,
    NORMAL_CLOSURE,
    PROTOCOL_VIOLATION,
    TOO_BIG,
    UNSUPPORTED_DATA,
    FrameEncoder,
    FrameParser,
)

SIZES = (1, 5, 125, 126, 127, 255, 256, 1200, 1452, MAX_DATAGRAM)
DATAGRAMS = [bytes([size & 0xFF]) * size for size in SIZES]

both_ways = pytest.mark.parametrize("masked", [False, True], ids=["from-server", "from-client"])


def frame(opcode, payload, *, masked, fin=True):
    """Return a frame as another implementation encodes it."""
    return Frame(opcode, payload, fin=fin).serialize(mask=masked)


def end_of(data, *, masked=False):
    """Return the parser's end after some bytes."""
    parser = FrameParser(masked=masked)
    parser.feed(data)
    return parser.end


@both_ways
def test_datagrams_arrive_as_they_were_sent(masked):
    data = FrameEncoder(masks=masked).datagrams(DATAGRAMS)
    parser = FrameParser(masked=masked)
    assert parser.feed(data) == DATAGRAMS
    assert parser.end is None


@both_ways
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 1456])
def test_a_split_changes_nothing(masked, step):
    data = FrameEncoder(masks=masked).datagrams(DATAGRAMS)
    parser = FrameParser(masked=masked)
    found = []
    for at in range(0, len(data), step):
        found += parser.feed(data[at : at + step])
    assert found == DATAGRAMS


@both_ways
def test_frames_are_those_of_another_implementation(masked, monkeypatch):
    monkeypatch.setattr("os.urandom", lambda size: b"\1\2\3\4" * (size // 4))
    monkeypatch.setattr("secrets.token_bytes", lambda size: b"\1\2\3\4"[:size])
    encoder = FrameEncoder(masks=masked)
    for data in DATAGRAMS:
        assert encoder.datagrams([data]) == frame(Opcode.BINARY, data, masked=masked)
    assert encoder.ping() == frame(Opcode.PING, b"", masked=masked)
    assert encoder.pong(b"abc") == frame(Opcode.PONG, b"abc", masked=masked)
    assert encoder.close(1000) == frame(Opcode.CLOSE, b"\x03\xe8", masked=masked)


def test_each_frame_of_a_client_has_its_own_masking_key():
    data = FrameEncoder(masks=True).datagrams([bytes(100)] * 20)
    keys = {data[at + 2 : at + 6] for at in range(0, len(data), 106)}
    assert len(keys) == 20


def test_empty_messages_are_no_datagrams():
    parser = FrameParser(masked=False)
    assert parser.feed(frame(Opcode.BINARY, b"", masked=False) * 3) == []
    assert parser.end is None


@both_ways
def test_a_ping_is_reported_and_a_pong_is_ignored(masked):
    parser = FrameParser(masked=masked)
    pings = frame(Opcode.PING, b"first", masked=masked) + frame(Opcode.PING, b"last", masked=masked)
    pong = frame(Opcode.PONG, b"whatever", masked=masked)
    datagram = frame(Opcode.BINARY, b"data", masked=masked)
    assert parser.feed(pings + pong + datagram) == [b"data"]
    assert parser.ping == b"last", "the answer to the latest one is enough (RFC 6455, 5.5.3)"
    assert parser.end is None


def test_a_close_frame_ends_the_websocket_with_its_code():
    parser = FrameParser(masked=False)
    data = frame(Opcode.BINARY, b"before", masked=False)
    data += frame(Opcode.CLOSE, (1001).to_bytes(2) + b"\x1b[31mbye", masked=False)
    data += frame(Opcode.BINARY, b"after", masked=False)
    assert parser.feed(data) == [b"before"]
    assert parser.feed(frame(Opcode.BINARY, b"later", masked=False)) == []
    assert parser.end.reason == "the peer closed the WebSocket with code 1001"
    assert parser.end.code == NORMAL_CLOSURE


@pytest.mark.parametrize(
    ("data", "word", "code"),
    [
        (frame(Opcode.TEXT, b"hello", masked=False), "text", UNSUPPORTED_DATA),
        (frame(Opcode.BINARY, b"x", masked=False, fin=False), "fragmented", UNSUPPORTED_DATA),
        (frame(Opcode.CONT, b"x", masked=False), "fragmented", UNSUPPORTED_DATA),
        (b"\x82\x81keysx", "is masked", PROTOCOL_VIOLATION),
        (b"\xc2\x01x", "extension", PROTOCOL_VIOLATION),
        (b"\x83\x00", "unknown type 3", PROTOCOL_VIOLATION),
        (b"\x09\x00", "control frame is fragmented", PROTOCOL_VIOLATION),
        (b"\x89\x7e", "control frame is too long", PROTOCOL_VIOLATION),
        (b"\x88\x01x", "malformed close", PROTOCOL_VIOLATION),
        (b"\x82\x7f", "more than 1472 bytes", TOO_BIG),
        (b"\x82\x7e\x05\xc1", "more than 1472 bytes", TOO_BIG),
        (b"\x82\x7e\x00\x7d", "more bytes than needed", PROTOCOL_VIOLATION),
    ],
)
def test_anything_else_ends_the_websocket(data, word, code):
    end = end_of(data)
    assert word in end.reason
    assert end.code == code


def test_a_frame_without_a_mask_from_a_client_ends_the_websocket():
    end = end_of(frame(Opcode.BINARY, b"x", masked=False), masked=True)
    assert end.reason == "the peer's frame is not masked"


def test_a_large_frame_is_refused_before_it_has_arrived():
    """So the parser never holds more than the beginning of one frame."""
    assert end_of(b"\x82\x7e\xff\xff").code == TOO_BIG
    parser = FrameParser(masked=True)
    longest = frame(Opcode.BINARY, bytes(MAX_DATAGRAM), masked=True)
    assert parser.feed(longest[:-1]) == []
    assert parser.end is None
    assert parser.feed(longest[-1:]) == [bytes(MAX_DATAGRAM)]


def test_the_longest_ping_is_answered_in_full():
    parser = FrameParser(masked=False)
    parser.feed(frame(Opcode.PING, bytes(MAX_CONTROL), masked=False))
    other = FrameParser(masked=True)
    other.feed(FrameEncoder(masks=True).pong(parser.ping))
    assert other.end is None
