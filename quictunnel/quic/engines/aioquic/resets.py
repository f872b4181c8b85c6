"""Stateless resets: an endpoint without state ends a connection of its peer (RFC 9000, 10.3).

The token of a connection ID follows from a key, so a restarted process still knows it.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_SIZE = 32
"""Bytes of a key that is generated here. It ends with the process."""

TOKEN_SIZE = 16

SMALLEST = 21
"""Smallest reset in bytes: 5 random ones before the token (RFC 9000, 10.3)."""

LARGEST = 42
"""Largest reset in bytes: as large as the smallest packet with a long connection ID, and too small
to amplify an attack."""

INTERVAL = 0.005
"""Minimum seconds between two resets. A thousand origins hear of a restart within seconds, and a
flood causes little traffic."""


class Resets:
    """Makes reset tokens, and resets for datagrams without a connection.

    :param key: the key of the tokens; None generates one.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key or os.urandom(KEY_SIZE)
        self._next_at = float("-inf")

    def token(self, connection_id: bytes) -> bytes:
        """Return the token of one of our connection IDs. The quinn engine derives the same."""
        return hmac.digest(self._key, connection_id, "sha256")[:TOKEN_SIZE]

    def answer(self, data: bytes, connection_id: bytes, now: float) -> bytes | None:
        """Return the reset that answers a datagram with a short header; None to stay silent.

        It is shorter than the datagram, so that two endpoints without state do not answer each
        other for ever (RFC 9000, 10.3.3).
        """
        size = min(len(data) - 1, LARGEST)
        if size < SMALLEST or now < self._next_at:
            return None
        self._next_at = now + INTERVAL
        random = os.urandom(size - TOKEN_SIZE)
        # It looks like a packet with a short header: the bits 01, then random ones.
        return bytes([0x40 | random[0] & 0x3F]) + random[1:] + self.token(connection_id)


def is_reset(data: bytes, tokens: Iterable[bytes]) -> bool:
    """Return whether a datagram is a reset with one of these tokens. It takes constant time."""
    if len(data) < SMALLEST or data[0] & 0x80:
        return False
    end = data[-TOKEN_SIZE:]
    return sum(hmac.compare_digest(end, token) for token in tokens) > 0
