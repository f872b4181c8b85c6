"""Bytes that wait until the kernel accepts them, kept without copying."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Piece = bytes | memoryview


class WriteBuffer:
    """A queue of byte strings."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self.size = 0
        """Bytes in the queue."""

    def append(self, piece: Piece) -> None:
        """Append a byte string, which must not change afterwards."""
        self._pieces.append(piece)
        self.size += len(piece)

    def flush(self, send: Callable[[Piece], int]) -> None:
        """Call `send` until the queue is empty or `send` accepts less than it is given.

        :param send: returns the number of bytes accepted.
        """
        while self._pieces:
            piece = self._pieces[0]
            sent = send(piece)
            self.size -= sent
            if sent < len(piece):
                self._pieces[0] = memoryview(piece)[sent:]
                return
            self._pieces.popleft()
