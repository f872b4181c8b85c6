"""Clients over a real line: downloads, and a client that types. One loop serves them all."""

from __future__ import annotations

import random
import select
import socket
import struct
import time

from bench.line.traffic import SIZE
from bench.server import DOWNLOAD, ECHO, HEADER, PIECE

ENDLESS = 1 << 40
"""Bytes: more than arrive in any run."""

READ_INTERVAL = 0.002
"""Seconds between two reads of a download, instead of one read for each packet."""

QUIET = 30.0
"""Seconds without an answer after which a client fails."""

_QUIET = struct.pack("ll", int(QUIET), 0)
_buffer = memoryview(bytearray(PIECE))
"""The buffer for all reads. Its content is not used."""


class LineClient:
    """A client that has connected and sent its request.

    :param sock: the socket to connect.
    """

    def __init__(self, sock: socket.socket, address: tuple[str, int], kind: bytes) -> None:
        self.sock = sock
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, limit, _QUIET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
        sock.send(HEADER.pack(kind, ENDLESS))

    def close(self) -> None:
        """Reset the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self) -> LineClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LineDownload(LineClient):
    """A client that reads everything."""

    def __init__(self, sock: socket.socket, address: tuple[str, int]) -> None:
        super().__init__(sock, address, DOWNLOAD)
        self.came_at: list[tuple[float, int]] = []
        """The time and size of each read."""

    def look(self) -> None:
        """Read what has arrived."""
        flags = socket.MSG_TRUNC | socket.MSG_DONTWAIT  # discards the data, see tcp(7)
        try:
            received = self.sock.recv_into(_buffer, PIECE, flags)
        except BlockingIOError:
            return
        if not received:
            raise ConnectionError("a download ended")
        self.came_at.append((time.monotonic(), received))

    def bytes_between(self, start: float, stop: float) -> int:
        """Return how many bytes arrived in that time."""
        return sum(size for at, size in self.came_at if start <= at < stop)


class Typist(LineClient):
    """A client that sends a request, waits for the answer, pauses, and starts again.

    :param pause: the longest time between an answer and the next request, in seconds.
    """

    def __init__(
        self, sock: socket.socket, address: tuple[str, int], *, pause: float, seed: int
    ) -> None:
        super().__init__(sock, address, ECHO)
        self.times: list[float] = []
        """Seconds from each request to its answer."""
        self._pause = pause
        self._random = random.Random(seed)
        self._missing = 0  # bytes
        self._at = time.monotonic()

    def due(self) -> float | None:
        """Return when the next request is due, or None while an answer is outstanding."""
        return None if self._missing else self._at

    def ask(self) -> None:
        """Send a request."""
        self._missing = SIZE
        self._at = time.monotonic()
        self.sock.send(bytes(SIZE))

    def take(self) -> None:
        """Read the answer, or a part of it."""
        received = len(self.sock.recv(SIZE))
        if not received:
            raise ConnectionError("the connection of the requests ended")
        self._missing -= received
        if not self._missing:
            now = time.monotonic()
            self.times.append(now - self._at)
            self._at = now + self._pause * self._random.random()


def attend(downloads: list[LineDownload], seconds: float, typist: Typist | None = None) -> None:
    """Run the clients for so many seconds."""
    stop = time.monotonic() + seconds
    while (now := time.monotonic()) < stop:
        wait = READ_INTERVAL
        if typist is None:
            time.sleep(wait)
        else:
            if (due := typist.due()) is not None:
                wait = min(max(due - now, 0), wait)
            if select.select([typist.sock], [], [], wait)[0]:
                typist.take()
            elif due is not None and time.monotonic() >= due:
                typist.ask()
        for download in downloads:
            download.look()
