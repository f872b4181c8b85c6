"""Absurd QUIC frames (RFC 9000, section 19), and packets full of them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testkit.crafted_packets import ack_frame, stream_frame, varint

CONTROL_STREAM = 0

ACK_RANGES = 500
"""Ranges of an ACK frame that fills a packet, at two bytes each."""


def empty_stream_frame() -> bytes:
    """Return a STREAM frame without data on the control stream."""
    return stream_frame(CONTROL_STREAM, 0, b"")


def stop_sending(code: int) -> bytes:
    """Return a STOP_SENDING frame for the control stream."""
    return b"\x05" + varint(CONTROL_STREAM) + varint(code)


def ack(largest: int) -> bytes:
    """Return an ACK frame of every second packet up to the largest, as far as a packet holds it."""
    return ack_frame(largest, [(0, 0)] * min(largest // 2, ACK_RANGES))


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
