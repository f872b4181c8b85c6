"""QUIC frames (RFC 9000, section 19), some of them absurd. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PING = b"\x01"

STREAM_WITH_LENGTH, STREAM_WITH_OFFSET = 0x0A, 0x0E

CONTROL_STREAM = 0

ACK_RANGES = 500
"""Ranges of an ACK frame that fills a packet, at two bytes each."""


def varint(value: int) -> bytes:
    """Return a variable-length integer (RFC 9000, section 16)."""
    if value < 1 << 6:
        return value.to_bytes(1)
    if value < 1 << 14:
        return (value | 1 << 14).to_bytes(2)
    return (value | 2 << 30).to_bytes(4)


def empty_stream_frame() -> bytes:
    """Return a STREAM frame without data on the control stream."""
    return bytes([STREAM_WITH_LENGTH]) + varint(CONTROL_STREAM) + varint(0)


def stream_frame(offset: int, data: bytes) -> bytes:
    """Return a STREAM frame of the control stream."""
    head = bytes([STREAM_WITH_OFFSET]) + varint(CONTROL_STREAM)
    return head + varint(offset) + varint(len(data)) + data


def stop_sending(code: int) -> bytes:
    """Return a STOP_SENDING frame for the control stream."""
    return b"\x05" + varint(CONTROL_STREAM) + varint(code)


def crypto(offset: int, data: bytes) -> bytes:
    """Return a CRYPTO frame."""
    return b"\x06" + varint(offset) + varint(len(data)) + data


def ack(largest: int) -> bytes:
    """Return an ACK frame of every second packet up to the largest, as far as a packet holds it."""
    count = min(largest // 2, ACK_RANGES)
    return b"\x02" + varint(largest) + varint(0) + varint(count) + varint(0) + bytes(2 * count)


def filled(size: int, frames: Iterable[bytes]) -> bytes:
    """Return as many of the frames as fit into so many bytes."""
    found, room = [], size
    for frame in frames:
        if len(frame) > room:
            break
        found.append(frame)
        room -= len(frame)
    return b"".join(found)


def gaps(first: int) -> Iterator[int]:
    """Return every second offset from the first one on."""
    offset = first
    while True:
        yield offset
        offset += 2
