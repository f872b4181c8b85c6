"""The demo's download: 200 MB that are the same each time, so that their hash is known."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Iterator

SIZE = 200_000_000
"""Bytes of the download."""

SHA256 = "18de4934c58ca38f88b80e04ec80988a1103aaa5cac4850f36922c93cf8f00fe"
"""The hash of the download."""

BLOCK = 65_536
"""Bytes of a block. Each block begins with its number, so that a missing or repeated block, or two
in another order, change the hash."""

RATE = 20_000_000
"""Bytes per second, at most. It takes ten seconds, so that a person can cut the network."""

_NUMBER = struct.Struct(">Q")


def blocks() -> Iterator[bytes]:
    """Yield the download in blocks."""
    rest = hashlib.shake_128(b"quictunnel demo").digest(BLOCK - _NUMBER.size)
    for start in range(0, SIZE, BLOCK):
        block = _NUMBER.pack(start // BLOCK) + rest
        yield block[: SIZE - start]


class Download:
    """Writes the download to a transport, at `RATE` or slower, and then closes the transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._blocks = blocks()
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._write_next()

    def pause(self) -> None:
        """Write nothing more for now: the reader is slow."""
        self._is_paused = True

    def resume(self) -> None:
        """Continue to write."""
        self._is_paused = False
        if self._timer is None:
            self._write_next()

    def stop(self) -> None:
        """Write nothing more: the reader has gone."""
        self._blocks = iter(())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_next(self) -> None:
        self._timer = None
        if self._is_paused:
            return
        block = next(self._blocks, None)
        if block is None:
            self._transport.close()
            return
        # A write may pause the download at once.
        self._timer = self._loop.call_later(len(block) / RATE, self._write_next)
        self._transport.write(block)
