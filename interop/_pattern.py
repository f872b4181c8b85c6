"""Bytes that both the site and its clients know, without a file: the same run, over and over.

The run's length is a prime number, so that a piece that is missing, doubled or out of its place
does not fit.
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
"""Bytes in each piece but the last."""

_RUN = random.Random(1).randbytes(PERIOD)
_TWICE = memoryview(_RUN + _RUN)


def pieces(start: int, end: int) -> Iterator[memoryview]:
    """Give the bytes of a file of this pattern from one offset up to another one."""
    while start < end:
        size = min(PIECE, end - start)
        at = start % PERIOD
        yield _TWICE[at : at + size]
        start += size


@functools.cache
def digest(size: int) -> str:
    """Return the SHA-256 of a file of this pattern, in hex."""
    total = hashlib.sha256()
    for piece in pieces(0, size):
        total.update(piece)
    return total.hexdigest()
