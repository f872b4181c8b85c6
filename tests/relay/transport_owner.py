"""The protocol of a transport under test, which the test controls."""

from __future__ import annotations

import asyncio


class Owner(asyncio.Protocol):
    """Takes all that comes, and remembers what it was told."""

    def __init__(self) -> None:
        self.data = b""
        self.pieces: list[int] = []
        self.ended = False
        self.paused = False
        self.lost: list[Exception | None] = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.pieces.append(len(data))

    def eof_received(self):
        self.ended = True
        return True

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False

    def connection_lost(self, exc):
        self.lost.append(exc)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
