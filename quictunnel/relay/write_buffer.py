"""Bytes that wait for the kernel to take them: in order, and copied no more than they must be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Piece = bytes | memoryview


class WriteBuffer:
    """What a connection has been given to write, and the kernel has had no room for yet."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self.size = 0
        """Bytes that wait."""

    def keep(self, piece: Piece) -> None:
        """Keep a piece, which must not change, behind the others."""
        self._pieces.append(piece)
        self.size += len(piece)

    def give(self, send: Callable[[Piece], int]) -> None:
        """Give to `send` what it takes; it returns how many bytes of a piece it has taken."""
        while self._pieces:
            piece = self._pieces[0]
            sent = send(piece)
            self.size -= sent
            if sent < len(piece):
                self._pieces[0] = memoryview(piece)[sent:]
                return
            self._pieces.popleft()
