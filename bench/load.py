"""The clients: bulk, requests, short connections, idle ones.

Plain sockets and as few system calls as can be: they share the processors with what is measured.
Everything is bounded: a client that hears nothing for QUIET seconds raises TimeoutError.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.server import (
    DONE,
    DOWNLOAD,
    HEADER,
    IDLE,
    PIECE,
    REQUEST,
    REQUESTS,
    RESPONSE,
    UPLOAD,
    discard,
    zeros,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = 30.0
"""Seconds without a byte after which a client gives up."""

STUCK = 5.0
"""Seconds in which no further client of many gets through, after which the rest are given up."""

OPENING = 64
"""Clients that arrive at once when many idle ones come."""

SHORT_ANSWER = 1024
"""Bytes that a short connection fetches."""

_QUIET = struct.pack("ll", int(QUIET), 0)
"""QUIET as the kernel's `struct timeval`."""


# Source addresses in turn: one address has 28,000 ports towards one server, and each closed
# connection occupies its own for a while.
_sources = itertools.cycle(f"127.0.0.{n}" for n in range(2, 10))

Address = tuple[str, int]


def _connected(address: Address, kind: bytes, size: int = 0) -> socket.socket:
    """Connect and say what is wanted. The socket blocks, for QUIET seconds at most.

    The kernel watches the time, so a call is one system call, where a timeout of Python's makes
    it two.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # The port is chosen at connect(), by both ends of the connection and not by ours alone.
    sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    sock.bind((next(_sources), 0))
    for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, limit, _QUIET)
    sock.connect(address)
    sock.send(HEADER.pack(kind, size))
    return sock


@contextlib.contextmanager
def _waiting() -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise TimeoutError(f"nothing moved for {QUIET:.0f} s") from None


def download(address: Address, size: int) -> None:
    """Fetch so many bytes, to the end."""
    left = size
    with _waiting(), _connected(address, DOWNLOAD, size) as sock:
        while received := discard(sock, max(left, 1)):
            left -= received
    if left:
        raise ConnectionError(f"a download of {size} bytes ended {left} bytes short")


def upload(address: Address, size: int) -> None:
    """Send so many bytes, and wait until the origin server has them all."""
    left = size
    with _waiting(), _connected(address, UPLOAD, size) as sock:
        while left:
            left -= os.sendfile(sock.fileno(), zeros(), 0, min(left, PIECE))
        if sock.recv(1) != DONE:
            raise ConnectionError("an upload ended without the origin server's answer")
        sock.recv(1)


def bulk(address: Address, size: int, streams: int, *, up: bool) -> float:
    """Move so many bytes over so many connections at once; return the seconds it took."""
    one = upload if up else download
    start = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        for future in [pool.submit(one, address, size // streams) for _ in range(streams)]:
            future.result()
    return time.perf_counter() - start


def requests(address: Address, count: int, seconds: float) -> list[float]:
    """Ask and await the answer on one connection, again and again; return the seconds of each.

    Ends after so many requests or so many seconds, whichever comes first.
    """
    question = bytes(REQUEST)
    times: list[float] = []
    with _waiting(), _connected(address, REQUESTS) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while len(times) < count and (start := time.perf_counter()) < end:
            sock.send(question)
            left = RESPONSE
            while left:
                received = len(sock.recv(left))
                if not received:
                    raise ConnectionError("the connection ended in the middle of the requests")
                left -= received
            times.append(time.perf_counter() - start)
    return times


def short(address: Address, seconds: float, at_once: int) -> tuple[int, float]:
    """Connect, fetch 1 kB, close; so many at once. Return the number done, and in what seconds.

    A client is woken once, by the end of its connection (EPOLLRDHUP), when all is there: on
    loopback it need not wait for anything else.
    """
    clients: dict[int, socket.socket] = {}
    done = 0
    with select.epoll() as poll:

        def arrive() -> None:
            sock = _connected(address, DOWNLOAD, SHORT_ANSWER)
            clients[sock.fileno()] = sock
            poll.register(sock, select.EPOLLRDHUP)

        start = time.perf_counter()
        for _ in range(at_once):
            arrive()
        while clients:
            ready = poll.poll(QUIET)
            if not ready:
                raise TimeoutError(f"{len(clients)} short connections were not served")
            for descriptor, _ in ready:
                with clients.pop(descriptor) as sock:
                    if len(sock.recv(2 * SHORT_ANSWER)) != SHORT_ANSWER:
                        raise ConnectionError("a short connection's answer was cut")
                done += 1
                if time.perf_counter() - start < seconds:
                    arrive()
        return done, time.perf_counter() - start


@dataclass
class IdleClients:
    """Clients that were served a byte and now do nothing, until closed."""

    address: Address

    def __post_init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def grow(self, count: int) -> bool:
        """Have so many altogether; return False when the way lets no more in."""
        coming: dict[int, socket.socket] = {}
        with select.epoll() as poll:
            while len(self.sockets) < count:
                for _ in range(min(OPENING, count - len(self.sockets)) - len(coming)):
                    sock = _connected(self.address, IDLE)
                    coming[sock.fileno()] = sock
                    poll.register(sock, select.EPOLLIN)
                ready = poll.poll(STUCK)
                if not ready:
                    for sock in coming.values():
                        sock.close()
                    return False
                for descriptor, _ in ready:
                    sock = coming.pop(descriptor)
                    poll.unregister(sock)
                    if sock.recv(1) != DONE:
                        raise ConnectionError("an idle client was cut off")
                    self.sockets.append(sock)
        return True

    def close(self) -> None:
        """Close them all."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
