"""The clients: bulk transfers, requests, short connections, idle connections.

They use plain sockets and few system calls, because they share the processors with the tunnel.
A client that receives nothing for QUIET seconds raises TimeoutError.
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
"""Seconds without a byte after which a client fails."""

STUCK = 5.0
"""Seconds without another connected client after which the missing ones count as refused."""

OPENING = 64
"""Idle clients that connect concurrently."""

SHORT_ANSWER = 1024
"""Bytes that a short connection fetches."""

_QUIET = struct.pack("ll", int(QUIET), 0)
"""QUIET as the kernel's `struct timeval`."""


# Source addresses, used in turn: one address has 28,000 ports towards one server, and each closed
# connection occupies a port for a while.
_sources = itertools.cycle(f"127.0.0.{n}" for n in range(2, 10))

Address = tuple[str, int]


def _connected(address: Address, kind: bytes, size: int = 0) -> socket.socket:
    """Connect and send a header. The socket blocks for QUIET seconds at most.

    The kernel measures the timeout, so a call is one system call. A timeout of Python would need
    two.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # The kernel chooses the port at connect(), where it may reuse one of another destination.
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
        raise TimeoutError(f"no data for {QUIET:.0f} s") from None


def download(address: Address, size: int) -> None:
    """Download so many bytes."""
    left = size
    with _waiting(), _connected(address, DOWNLOAD, size) as sock:
        while received := discard(sock, max(left, 1)):
            left -= received
    if left:
        raise ConnectionError(f"a download of {size} bytes ended {left} bytes short")


def upload(address: Address, size: int) -> None:
    """Upload so many bytes, and wait until the origin server has received all."""
    left = size
    with _waiting(), _connected(address, UPLOAD, size) as sock:
        while left:
            left -= os.sendfile(sock.fileno(), zeros(), 0, min(left, PIECE))
        if sock.recv(1) != DONE:
            raise ConnectionError("an upload ended without the origin server's answer")
        sock.recv(1)


def bulk(address: Address, size: int, streams: int, *, up: bool) -> float:
    """Transfer so many bytes over concurrent connections; return the duration in seconds."""
    one = upload if up else download
    start = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        for future in [pool.submit(one, address, size // streams) for _ in range(streams)]:
            future.result()
    return time.perf_counter() - start


def requests(address: Address, count: int, seconds: float) -> list[float]:
    """Send requests on one connection, each after the previous answer; return their durations.

    Stop after `count` requests or after `seconds`, whichever comes first.
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
    """Open connections that fetch 1 kB each; return their number and the duration in seconds.

    A client wakes up once, at the end of its connection (EPOLLRDHUP), when all data has arrived.
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
    """Clients that have received one byte and are idle until they are closed."""

    address: Address

    def __post_init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def grow(self, count: int) -> bool:
        """Grow to so many clients; return False if the way accepts no more."""
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
                        raise ConnectionError("an idle client was disconnected")
                    self.sockets.append(sock)
        return True

    def close(self) -> None:
        """Close all clients."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
