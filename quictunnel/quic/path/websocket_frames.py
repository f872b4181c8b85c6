"""The frames of a WebSocket that carries datagrams (RFC 6455, section 5). No I/O.

A binary message carries one datagram, in one frame. A peer needs no other kind of message, so
everything else but control frames ends the WebSocket.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without a wheel
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DATAGRAM = 1472
"""Bytes of the largest datagram: what one Ethernet frame has room for with UDP over IPv4."""

MAX_CONTROL = 125
"""Bytes of the largest control frame's payload (RFC 6455, section 5.5)."""

NORMAL_CLOSURE = 1000
PROTOCOL_VIOLATION = 1002
UNSUPPORTED_DATA = 1003
POLICY_VIOLATION = 1008
TOO_BIG = 1009
"""Codes of a close frame (RFC 6455, section 7.4.1)."""

_FIN = 0x80
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_MASKED = 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127
"""Lengths that mean that the length follows in as many bytes."""

_DATAGRAM = _FIN | _BINARY


def _header(first: int, size: int, masked: int) -> bytes:
    """Return the start of a frame, without the masking key."""
    if size < _TWO_BYTES:
        return bytes((first, masked | size))
    return bytes((first, masked | _TWO_BYTES, size >> 8, size & 0xFF))


_UNMASKED_HEADERS = [_header(_DATAGRAM, size, 0) for size in range(MAX_DATAGRAM + 1)]
_MASKED_HEADERS = [_header(_DATAGRAM, size, _MASKED) for size in range(MAX_DATAGRAM + 1)]
"""The headers of datagrams by size."""


class FrameEncoder:
    """Encodes what one end sends.

    :param masks: whether this end is the client, whose frames are masked (RFC 6455, section 5.3).
    """

    def __init__(self, *, masks: bool) -> None:
        self._masks = masks

    def datagrams(self, datagrams: Sequence[bytes]) -> bytes:
        """Return the frames of datagrams, none of which is larger than `MAX_DATAGRAM`."""
        parts: list[bytes] = []
        if not self._masks:
            for data in datagrams:
                parts += (_UNMASKED_HEADERS[len(data)], data)
            return b"".join(parts)
        keys = os.urandom(4 * len(datagrams))
        at = 0
        for data in datagrams:
            key = keys[at : at + 4]
            parts += (_MASKED_HEADERS[len(data)], key, apply_mask(data, key))
            at += 4
        return b"".join(parts)

    def ping(self) -> bytes:
        """Return a ping without a payload."""
        return self._control(_PING, b"")

    def pong(self, payload: bytes) -> bytes:
        """Return the answer to a ping with this payload."""
        return self._control(_PONG, payload)

    def close(self, code: int) -> bytes:
        """Return a close frame."""
        return self._control(_CLOSE, code.to_bytes(2))

    def _control(self, opcode: int, payload: bytes) -> bytes:
        if not self._masks:
            return _header(_FIN | opcode, len(payload), 0) + payload
        key = os.urandom(4)
        return _header(_FIN | opcode, len(payload), _MASKED) + key + apply_mask(payload, key)


@dataclass(frozen=True, slots=True)
class FrameEnd:
    """Why nothing more is parsed."""

    reason: str
    """A sentence."""

    code: int
    """The code in the close frame with which this end answers."""


class FrameParser:
    """Parses what one end receives.

    It keeps the beginning of one frame at most. After a close frame or a violation it ignores
    everything.

    :param masked: whether the peer is the client, so that its frames must be masked.
    """

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._rest = b""
        self.end: FrameEnd | None = None
        """Set once the peer has closed the WebSocket or violated the protocol."""
        self.ping: bytes | None = None
        """The payload of the latest ping. The owner answers it and clears this."""

    @property
    def kept(self) -> int:
        """Bytes of a frame that has not arrived in full."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:  # noqa: PLR0912 - a call per frame costs too much
        """Return the datagrams in the next bytes. Empty ones are left out."""
        datagrams: list[bytes] = []
        if self.end is not None:
            return datagrams
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        must_mask = self._masked
        while at + 2 <= end:
            first, second = data[at], data[at + 1]
            size = second & 0x7F
            if first != _DATAGRAM or (second >= _MASKED) is not must_mask:
                self.end = self._check(first, second)
                if self.end is not None:
                    break
            start = at + 2
            if size >= _TWO_BYTES:
                if size == _EIGHT_BYTES:
                    self.end = _too_big()
                    break
                start += 2
                if start > end:
                    break
                size = data[at + 2] << 8 | data[at + 3]
                if not _TWO_BYTES <= size <= MAX_DATAGRAM:
                    self.end = _bad_length(size)
                    break
            if must_mask:
                start += 4
            stop = start + size
            if stop > end:
                break
            payload = data[start:stop]
            if must_mask:
                payload = apply_mask(payload, data[start - 4 : start])
            at = stop
            if first == _DATAGRAM:
                if size:
                    datagrams.append(payload)
            elif not self._accept_control(first & 0x0F, payload):
                break
        self._rest = data[at:] if self.end is None else b""
        return datagrams

    def _check(self, first: int, second: int) -> FrameEnd | None:
        """Return what is wrong with the first two bytes of a frame, if they are no datagram's."""
        if (second >= _MASKED) is not self._masked:
            state = "is not masked" if self._masked else "is masked"
            return FrameEnd(f"the peer's frame {state}", PROTOCOL_VIOLATION)
        opcode = first & 0x0F
        if first & 0x70:
            return FrameEnd(
                "the peer's frame uses an extension that was not agreed on", PROTOCOL_VIOLATION
            )
        if opcode not in (_CLOSE, _PING, _PONG):
            return _unsupported(first)
        if not first & _FIN:
            return FrameEnd("the peer's control frame is fragmented", PROTOCOL_VIOLATION)
        if second & 0x7F > MAX_CONTROL:
            return FrameEnd("the peer's control frame is too long", PROTOCOL_VIOLATION)
        return None

    def _accept_control(self, opcode: int, payload: bytes) -> bool:
        """Handle a control frame. Return whether more may follow."""
        if opcode == _PING:
            self.ping = payload
        elif opcode == _CLOSE:
            self.end = _closed(payload)
            return False
        return True


def _unsupported(first: int) -> FrameEnd:
    opcode = first & 0x0F
    if opcode == _TEXT:
        return FrameEnd("the peer sent a text message", UNSUPPORTED_DATA)
    if opcode in (0, _BINARY):
        return FrameEnd("the peer sent a fragmented message", UNSUPPORTED_DATA)
    return FrameEnd(f"the peer sent a frame of unknown type {opcode}", PROTOCOL_VIOLATION)


def _too_big() -> FrameEnd:
    return FrameEnd(f"the peer sent a message of more than {MAX_DATAGRAM} bytes", TOO_BIG)


def _bad_length(size: int) -> FrameEnd:
    if size > MAX_DATAGRAM:
        return _too_big()
    return FrameEnd(
        "the peer encoded a frame's length in more bytes than needed", PROTOCOL_VIOLATION
    )


def _closed(payload: bytes) -> FrameEnd:
    """Return the end that a close frame means. Its text is left out, because anyone can send it."""
    if len(payload) == 1:
        return FrameEnd("the peer sent a malformed close frame", PROTOCOL_VIOLATION)
    code = int.from_bytes(payload[:2]) if payload else NORMAL_CLOSURE
    return FrameEnd(f"the peer closed the WebSocket with code {code}", NORMAL_CLOSURE)
