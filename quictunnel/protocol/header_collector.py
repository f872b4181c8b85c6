"""Collects a header that arrives in pieces, ahead of other bytes."""

from __future__ import annotations

from collections.abc import Callable


class HeaderCollector:
    """Buffers bytes until a header is complete.

    It buffers at most `limit` bytes and copies each byte at most once.

    :param limit: length of the longest header in bytes.
    :param find_end: returns the header's length given the bytes so far, or None if they are too
        few to know. It raises ProtocolError if the bytes cannot begin a header, or if the header
        would be longer than `limit`.
    """

    __slots__ = ("_find_end", "_limit", "_start")

    def __init__(self, limit: int, find_end: Callable[[bytes | bytearray], int | None]) -> None:
        self._limit = limit
        self._find_end = find_end
        self._start = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the header and the bytes after it, or None while the header is incomplete.

        :raises ProtocolError: as `find_end`.
        :raises RuntimeError: the header was complete at an earlier call.
        """
        before = len(self._start)
        start: bytes | bytearray
        if before:
            self._start += data[: self._limit - before]
            start = self._start
        else:
            start = data[: self._limit]  # most headers arrive whole and need no buffer
        end = self._find_end(start)
        if end is not None and before >= end:
            raise RuntimeError("the header was complete at an earlier call")
        is_whole = end is not None and len(start) >= end
        if not before:
            self._start += start
        return (bytes(start[:end]), data[end - before :]) if end and is_whole else None
