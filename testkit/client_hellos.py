"""TLS ClientHello messages (RFC 8446, section 4.1.2) that are made field by field."""

from __future__ import annotations

from collections.abc import Iterable

SERVER_NAME = 0x0000
SUPPORTED_GROUPS = 0x000A
SIGNATURE_ALGORITHMS = 0x000D
SUPPORTED_VERSIONS = 0x002B
KEY_SHARE = 0x0033
ENCRYPTED_CLIENT_HELLO = 0xFE0D

GREASE = 0x3A3A
"""One of the values that mean nothing and must be ignored (RFC 8701)."""

_GREASE = GREASE.to_bytes(2, "big")
_X25519MLKEM768 = b"\x11\xec"
_ECDSA_SHA256 = b"\x04\x03"
_TLS_1_3 = b"\x03\x04"
_KEY_SHARE_SIZE = 1184 + 32
"""Bytes of a client's share of X25519MLKEM768: an ML-KEM-768 key, then one of X25519."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1


def vector(content: bytes, length_size: int) -> bytes:
    """Return a vector with its length in front (RFC 8446, section 3.4)."""
    return len(content).to_bytes(length_size, "big") + content


def extension(kind: int, content: bytes = b"") -> bytes:
    """Return one extension."""
    return kind.to_bytes(2, "big") + vector(content, 2)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    """Return a server_name extension with these names, all of one kind; 0 is a host name."""
    entries = b"".join(bytes([kind]) + vector(name, 2) for name in names)
    return extension(SERVER_NAME, vector(entries, 2))


def client_hello(
    extensions: Iterable[bytes] | None = (),
    *,
    session_id: bytes = bytes(32),
    suites: bytes = b"\x13\x01\x13\x02",
    compression: bytes = b"\0",
) -> bytes:
    """Return the handshake message. Without extensions (None), their length is missing too."""
    body = b"\x03\x03" + bytes(range(32))
    body += vector(session_id, 1) + vector(suites, 2) + vector(compression, 1)
    if extensions is not None:
        body += vector(b"".join(extensions), 2)
    return bytes([_CLIENT_HELLO]) + vector(body, 3)


def browser_hello(name: bytes) -> bytes:
    """Return a message as browsers send it: GREASE, ECH, and a post-quantum key share."""
    share = _X25519MLKEM768 + vector(bytes(_KEY_SHARE_SIZE), 2)
    return client_hello(
        [
            extension(GREASE),
            extension(ENCRYPTED_CLIENT_HELLO, bytes(250)),
            extension(SUPPORTED_VERSIONS, vector(_GREASE + _TLS_1_3, 1)),
            extension(SUPPORTED_GROUPS, vector(_GREASE + _X25519MLKEM768, 2)),
            extension(SIGNATURE_ALGORITHMS, vector(_ECDSA_SHA256, 2)),
            extension(KEY_SHARE, vector(_GREASE + vector(b"\0", 2) + share, 2)),
            server_name(name),
            extension(GREASE + 0x1010, b"\0"),
        ],
        suites=_GREASE + b"\x13\x01\x13\x02",
    )


def record(content: bytes, kind: int = _HANDSHAKE, version: bytes = b"\x03\x01") -> bytes:
    """Return one TLS record."""
    return bytes([kind]) + version + vector(content, 2)


def records(message: bytes, size: int = 2**14) -> bytes:
    """Return a message in records with at most `size` bytes of it each."""
    return b"".join(record(message[at : at + size]) for at in range(0, len(message), size))
