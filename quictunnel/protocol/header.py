"""Gathers a header that stands before other bytes and arrives in pieces of any size.

It does not know what the header means: the PROXY protocol's modules say where it ends.
"""

from __future__ import annotations

from collections.abc import Callable


class HeaderCollector:
    """Takes bytes until a header is complete, and hands back what came after it.

    Never holds more than `limit` bytes, and copies each byte once, however it arrives.

    :param limit: the length in bytes of the longest header.
    :param find_end: is given the first bytes so far; returns the header's length, or None while
        they do not tell. Raises ProtocolError once they cannot begin a header, and, so that
        no more than `limit` bytes are ever waited for, when the header would be longer than that.
    """

    def __init__(self, limit: int, find_end: Callable[[bytearray], int | None]) -> None:
        self._limit = limit
        self._find_end = find_end
        self._start = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the header and the bytes after it, or None while there must come more.

        Raises what `find_end` raises, and RuntimeError when the header was complete before.
        """
        before = len(self._start)
        self._start += data[: self._limit - before]
        end = self._find_end(self._start)
        if end is None or len(self._start) < end:
            return None
        if before >= end:
            raise RuntimeError("the header was complete before")
        return bytes(self._start[:end]), data[end - before :]
