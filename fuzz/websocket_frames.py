"""Fuzz target: the frames of a WebSocket. Datagrams are those that `websockets` reads as well.

The first byte of an input says which end receives the others.
"""

from __future__ import annotations

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from fuzz.fuzzer import run
from quictunnel.quic.path.websocket_frames import (
    MAX_CONTROL,
    MAX_DATAGRAM,
    FrameEncoder,
    FrameEnd,
    FrameParser,
)

FROM_CLIENT = 0x01
"""Bit of the first byte: the frames must be masked."""

MAX_REST = MAX_DATAGRAM + 8
"""Bytes of the longest frame, with its header and its masking key."""


def check(data: bytes) -> None:
    """Check that a split changes nothing, that memory is bounded, and what datagrams are."""
    if not data:
        return
    masked = bool(data[0] & FROM_CLIENT)
    stream = data[1:]
    whole = parse([stream], masked=masked)
    for size in (1, 7, 1 + sum(data[:64])):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert parse(pieces, masked=masked) == whole, "the outcome depends on the split"
    datagrams, end = whole
    assert all(0 < len(each) <= MAX_DATAGRAM for each in datagrams)
    assert datagrams == with_websockets(stream, masked=masked)[: len(datagrams)]
    if end is not None:
        assert end.reason.isprintable()
        assert FrameEncoder(masks=not masked).close(end.code)
    again = FrameParser(masked=masked)
    assert again.feed(FrameEncoder(masks=masked).datagrams(datagrams)) == datagrams


def parse(pieces: list[bytes], *, masked: bool) -> tuple[list[bytes], FrameEnd | None]:
    """Return all datagrams, and why parsing has ended."""
    parser = FrameParser(masked=masked)
    datagrams: list[bytes] = []
    for piece in pieces:
        datagrams += parser.feed(piece)
        assert parser.kept <= MAX_REST, "it keeps more than one frame"
        assert parser.ping is None or len(parser.ping) <= MAX_CONTROL
    return datagrams, parser.end


def with_websockets(stream: bytes, *, masked: bool) -> list[bytes]:
    """Return the binary messages in one frame that another parser finds, without empty ones."""
    protocol = Protocol(Side.SERVER if masked else Side.CLIENT, state=State.OPEN)
    protocol.receive_data(stream)
    return [
        bytes(frame.data)
        for frame in protocol.events_received()
        if isinstance(frame, Frame) and frame.opcode is Opcode.BINARY and frame.fin and frame.data
    ]


if __name__ == "__main__":
    run("fuzz.websocket_frames")
