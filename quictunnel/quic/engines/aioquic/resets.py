"""Stateless resets: how one end says that it knows a connection no more (RFC 9000, 10.3).

The token of a connection id follows from a key alone, so that a process that was started again can
still give it. What the key is and where it is kept is decided above.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_SIZE = 32
"""Bytes of a key that is made here: nobody else has it, and it ends with the process."""

TOKEN_SIZE = 16

SMALLEST = 21
"""Bytes of a reset at least: 5 of no meaning before the token (RFC 9000, 10.3)."""

LARGEST = 42
"""Bytes of one at most: as many as the smallest packet that a long connection id leaves room for,
and so no help to those who send in another's name."""

INTERVAL = 0.005
"""Seconds between two resets: enough to tell a thousand origins within seconds of a restart, and
of no use to a flood."""


class Resets:
    """Makes tokens, and resets for datagrams that belong to no connection.

    :param key: from which tokens follow; None for one of its own.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key or os.urandom(KEY_SIZE)
        self._next_at = float("-inf")

    def token(self, connection_id: bytes) -> bytes:
        """Return the token of a connection id of ours, as the other engine derives it too."""
        return hmac.digest(self._key, connection_id, "sha256")[:TOKEN_SIZE]

    def answer(self, data: bytes, connection_id: bytes, now: float) -> bytes | None:
        """Return the reset that answers a datagram with a short header; None to say nothing.

        It is always shorter than what it answers, so that two ends which both know nothing fall
        silent soon (RFC 9000, 10.3.3).
        """
        size = min(len(data) - 1, LARGEST)
        if size < SMALLEST or now < self._next_at:
            return None
        self._next_at = now + INTERVAL
        random = os.urandom(size - TOKEN_SIZE)
        # It looks like a packet with a short header: 01, and bits that are random.
        return bytes([0x40 | random[0] & 0x3F]) + random[1:] + self.token(connection_id)


def is_reset(data: bytes, tokens: Iterable[bytes]) -> bool:
    """Return whether a datagram is a reset that ends with one of these tokens.

    How long that takes says nothing about the tokens: each is looked at, and to its end.
    """
    if len(data) < SMALLEST or data[0] & 0x80:
        return False
    end = data[-TOKEN_SIZE:]
    return sum(hmac.compare_digest(end, token) for token in tokens) > 0
