"""The codes with which a stream is reset or a link is closed. They are part of the wire."""

from __future__ import annotations

import enum

ALPN = "quictunnel/1"
"""The application protocol negotiated in TLS (RFC 7301)."""

VERSION = 1
"""The version of the control messages."""


class Code(enum.IntEnum):
    """Why a stream was reset or a link was closed: a QUIC application error code.

    The application protocol defines the numbers (RFC 9000, section 20.2).
    """

    NO_ERROR = 0x00
    INTERNAL = 0x01
    PROTOCOL_VIOLATION = 0x02

    # One client
    CLIENT_RESET = 0x10
    ORIGIN_RESET = 0x11
    ORIGIN_REFUSED = 0x12
    ORIGIN_UNREACHABLE = 0x13
    UNKNOWN_SERVICE = 0x14
    BAD_PREAMBLE = 0x15
    LINGER_OVER = 0x16
    CUT_SHORT = 0x17
    OVERLOADED = 0x18
    REJECTED = 0x19
    IDLE_TIMEOUT = 0x1A
    MOVED = 0x1B

    # The whole link
    GOODBYE = 0x20
    TAKEN_OVER = 0x21
    BAD_TOKEN = 0x22
    NO_TOKEN = 0x23
    NOT_PROVEN = 0x24
    BAD_VERSION = 0x25
    HELLO_TIMEOUT = 0x26
    NOT_ALLOWED = 0x27
    SERVICE_TAKEN = 0x28
    BAD_CERTIFICATE = 0x29
    TOO_MUCH = 0x2A

    @property
    def word(self) -> str:
        """The code in words, for logs and messages."""
        return _WORDS[self]


_WORDS = {
    Code.NO_ERROR: "ended in order",
    Code.INTERNAL: "internal error",
    Code.PROTOCOL_VIOLATION: "protocol violation",
    Code.CLIENT_RESET: "the client reset its connection",
    Code.ORIGIN_RESET: "the origin server reset its connection",
    Code.ORIGIN_REFUSED: "the origin server refused the connection",
    Code.ORIGIN_UNREACHABLE: "the origin server could not be reached",
    Code.UNKNOWN_SERVICE: "no such service at the origin",
    Code.BAD_PREAMBLE: "malformed preamble",
    Code.LINGER_OVER: "half-closed for longer than the linger",
    Code.CUT_SHORT: "cut short by the end of the grace or by an administrator",
    Code.OVERLOADED: "too many clients",
    Code.REJECTED: "rejected by a policy of the origin",
    Code.IDLE_TIMEOUT: "idle for longer than the policy allows",
    Code.MOVED: "taken back by the remote because the origin did not answer",
    Code.GOODBYE: "goodbye",
    Code.TAKEN_OVER: "taken over by a newer link",
    Code.BAD_TOKEN: "token not accepted",
    Code.NO_TOKEN: "no token given",
    Code.NOT_PROVEN: "the remote did not prove that it knows the token",
    Code.BAD_VERSION: "unsupported protocol version",
    Code.HELLO_TIMEOUT: "no hello in time",
    Code.NOT_ALLOWED: "not allowed with this token",
    Code.SERVICE_TAKEN: "the service is served by another origin",
    Code.BAD_CERTIFICATE: "certificate not accepted",
    Code.TOO_MUCH: "too much before the proof",
}


def describe(code: int | None) -> str:
    """Return a peer's code in words, even if it is unknown."""
    if code is None:
        return "no code"
    try:
        return Code(code).word
    except ValueError:
        return f"unknown code {code:#x}"
