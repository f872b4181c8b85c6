"""A periodic payload that the site and its clients can both compute.

The period is a prime number, so that a missing, duplicate or misplaced piece is detected.
"""

from __future__ import annotations

import functools
import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIOD = 1_000_003
PIECE = 256 * 1024
"""Bytes in each piece, except the last."""

_RUN = random.Random(1).randbytes(PERIOD)
_TWICE = memoryview(_RUN + _RUN)


def pieces(start: int, end: int) -> Iterator[memoryview]:
    """Yield the payload from one offset to another."""
    while start < end:
        size = min(PIECE, end - start)
        at = start % PERIOD
        yield _TWICE[at : at + size]
        start += size


@functools.cache
def digest(size: int) -> str:
    """Return the SHA-256 of the first `size` bytes, in hex."""
    total = hashlib.sha256()
    for piece in pieces(0, size):
        total.update(piece)
    return total.hexdigest()
