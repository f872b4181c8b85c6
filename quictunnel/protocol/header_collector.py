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

    __slots__ = ("_find_end", "_limit", "_start")

    def __init__(self, limit: int, find_end: Callable[[bytes | bytearray], int | None]) -> None:
        self._limit = limit
        self._find_end = find_end
        self._start = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the header and the bytes after it, or None while there must come more.

        Raises what `find_end` raises, and RuntimeError when the header was complete before.
        """
        before = len(self._start)
        start: bytes | bytearray
        if before:
            self._start += data[: self._limit - before]
            start = self._start
        else:
            start = data[: self._limit]  # mostly it comes whole, and is kept by nobody
        end = self._find_end(start)
        if end is not None and before >= end:
            raise RuntimeError("the header was complete before")
        is_whole = end is not None and len(start) >= end
        if not before:
            self._start += start
        return (bytes(start[:end]), data[end - before :]) if end and is_whole else None
