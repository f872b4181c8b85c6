"""The bytes of a probe that any QUIC server answers, without a token and without a handshake.

It is a packet with a long header and a version that does not exist. A server answers a datagram of
1,200 bytes or more with a Version Negotiation packet (RFC 9000, section 6; RFC 8999, section 6).
"""

from __future__ import annotations

import secrets

MIN_PROBE_SIZE = 1200
"""Bytes of the smallest probe that a server answers (RFC 9000, section 14.1)."""

VERSION_1 = 1
"""The version of RFC 9000."""

ID_SIZE = 8
"""Bytes of a probe's identification."""

_RESERVED_VERSION = bytes.fromhex("1a2a3a4a")
"""A version that forces version negotiation (RFC 9000, section 15)."""

_LONG = 0x80
_FIXED = 0x40
_HEADER_SIZE = 7 + 2 * ID_SIZE


def encode(identification: bytes, size: int) -> bytes:
    """Return a probe.

    :param identification: `ID_SIZE` bytes, which the answer quotes.
    :param size: bytes of the datagram.
    """
    destination = secrets.token_bytes(ID_SIZE)
    ids = bytes([ID_SIZE]) + destination + bytes([ID_SIZE]) + identification
    return (bytes([_LONG | _FIXED]) + _RESERVED_VERSION + ids).ljust(size, b"\0")


def decode_answer(data: bytes) -> tuple[bytes, list[int]] | None:
    """Return the identification of the probe that a packet answers, and the server's versions.

    Return None for any other packet (RFC 8999, section 6).
    """
    if len(data) < _HEADER_SIZE or not data[0] & _LONG or data[1:5] != bytes(4):
        return None
    if data[5] != ID_SIZE or data[6 + ID_SIZE] != ID_SIZE:
        return None
    versions = data[_HEADER_SIZE:]
    whole = range(0, len(versions) // 4 * 4, 4)
    return data[6 : 6 + ID_SIZE], [int.from_bytes(versions[at : at + 4], "big") for at in whole]


def encode_small() -> bytes:
    """Return a small packet of no known connection, which a remote answers with a stateless reset.

    It shows that datagrams arrive even where those of 1,200 bytes do not (RFC 9000, section 10.3).
    """
    return bytes([_FIXED]) + secrets.token_bytes(99)
