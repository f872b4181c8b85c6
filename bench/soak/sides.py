"""One end of a visit: it executes its half of the plan on a socket and records what it sees.

`judge` decides whether that is right. There are no timeouts here. `traffic` detects a hang.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.soak.plans import HalfPlan, Payload

READ_SIZE = 128 * 1024

_RESETS_AT_CLOSE = struct.pack("ii", 1, 0)


class SoakEnding(enum.Enum):
    """How the connection ended, as this end has seen it."""

    END = "in order"
    RESET = "with a reset"


class SoakSide:
    """One end of a visit.

    :param half: its plan.
    :param says: the payload to send.
    :param hears: the payload to expect.
    :param moved: called on any progress.
    :param heard: bytes that were received and verified before.
    """

    def __init__(
        self,
        half: HalfPlan,
        says: Payload,
        hears: Payload,
        moved: Callable[[], None],
        heard: int = 0,
    ) -> None:
        self.half = half
        self.sent = 0
        """Bytes that the kernel has accepted. A reset may discard some."""
        self.has_ended = False
        """Whether it has sent everything and FIN."""
        self.has_reset = False
        self.heard = heard
        self.wrong: int | None = None
        """The offset of the first wrong byte."""
        self.ending: SoakEnding | None = None
        """How the other end ended. None before that, or if this end has reset."""
        self.is_over = False
        self._says = says
        self._hears = hears
        self._moved = moved
        self._news = asyncio.Event()
        self._is_cut = False
        """Whether `send` has met a reset, and has cleared the error of the socket."""

    async def run(self, sock: socket.socket) -> None:
        """Execute the plan, and close the socket."""
        try:
            await self._talk(sock)
        except* _ResetNow:
            self.has_reset = True
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS_AT_CLOSE)
        finally:
            sock.close()
            self.is_over = True
            self._moved()

    async def _talk(self, sock: socket.socket) -> None:
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._watch())
            both = tasks.create_task(self._say(sock)), tasks.create_task(self._hear(sock))
            await asyncio.wait(both)
            watch.cancel()

    async def _watch(self) -> None:
        what, much = self.half.resets or ("never", 0)
        if what == "after":
            await asyncio.sleep(much)
            raise _ResetNow

    def _count(self, what: str, much: int) -> None:
        """Reset if the plan says so at this count."""
        self._moved()
        if self.half.resets and self.half.resets[0] == what and much >= self.half.resets[1]:
            raise _ResetNow

    async def _say(self, sock: socket.socket) -> None:
        # `ending` and `has_ended` record the failure.
        try:
            await self._say_all(sock)
        except OSError as exc:
            # Only the first call after a reset gets the error. A later `recv` would see FIN
            # (tcp_reset() and sock_error() in Linux).
            self._is_cut = exc.errno == errno.ECONNRESET

    async def _say_all(self, sock: socket.socket) -> None:
        waits = [(at, self._wait_for(heard)) for at, heard in self.half.gates]
        waits += [(at, asyncio.sleep(seconds)) for at, seconds in self.half.pauses]
        waits.sort(key=lambda wait: wait[0])
        try:
            while True:
                self._count("sent", self.sent)
                while waits and waits[0][0] <= self.sent:
                    await waits.pop(0)[1]
                if self.sent == self.half.size:
                    break
                upto = min([at for at, _ in waits[:1]] + [self.half.size])
                piece = self._says.piece(self.sent, min(upto - self.sent, self.half.piece))
                self.sent += await send(sock, piece)
        finally:
            for _, wait in waits:
                wait.close()
        if self.half.ends_last:
            await self._wait_for(None)
        sock.shutdown(socket.SHUT_WR)
        self.has_ended = True

    async def _wait_for(self, heard: int | None) -> None:
        """Wait until so many bytes were received, or until the end."""
        while self.ending is None and (heard is None or self.heard < heard):
            self._news.clear()
            await self._news.wait()

    async def _hear(self, sock: socket.socket) -> None:
        stalls = list(self.half.stalls)
        while self.ending is None:
            self._count("heard", self.heard)
            if stalls and stalls[0][0] <= self.heard:
                await asyncio.sleep(stalls.pop(0)[1])
                continue
            try:
                data = await receive(sock, READ_SIZE)
            except ConnectionResetError:
                self.ending = SoakEnding.RESET
                data = b""
            if data:
                if self.wrong is None:
                    self.wrong = self._hears.first_wrong(memoryview(data), self.heard)
                self.heard += len(data)
            elif self.ending is None:
                self.ending = SoakEnding.RESET if self._is_cut else SoakEnding.END
            self._news.set()
        self._moved()


class _ResetNow(Exception):
    """Raised to reset the connection as planned."""


# These replace loop.sock_recv and loop.sock_sendall, which leave an exception unretrieved if an
# operation fails at the moment of its cancellation. Resets make that happen.


async def receive(sock: socket.socket, size: int) -> bytes:
    """Return the next received bytes, or none at FIN."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            await _until(loop.add_reader, loop.remove_reader, sock)


async def send(sock: socket.socket, data: memoryview) -> int:
    """Send a part of the data as soon as possible; return its size."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.send(data)
        except BlockingIOError:
            await _until(loop.add_writer, loop.remove_writer, sock)


async def _until(
    add: Callable[..., None], remove: Callable[[socket.socket], bool], sock: socket.socket
) -> None:
    ready = asyncio.Event()
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
