"""The clients: bulk, requests, short connections, idle ones. Raw sockets: they must not be slow.

Everything is bounded: a client that hears nothing for QUIET seconds raises TimeoutError.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.server import DONE, DOWNLOAD, HEADER, IDLE, REQUEST, REQUESTS, RESPONSE, UPLOAD

QUIET = 30.0
"""Seconds without a byte after which a client gives up."""

STUCK = 5.0
"""Seconds in which no further client of many gets through, after which the rest are given up."""

OPENING = 64
"""Clients that arrive at once when many idle ones come."""

SHORT_ANSWER = 1024
"""Bytes that a short connection fetches."""

_PIECE = memoryview(bytes(1024 * 1024))

# Source addresses in turn: one address has 28,000 ports towards one server, and each closed
# connection occupies its own for a while.
_sources = itertools.cycle(f"127.0.0.{n}" for n in range(2, 10))

Address = tuple[str, int]


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The port is chosen at connect(), by both ends of the connection and not by ours alone.
    sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    sock.bind((next(_sources), 0))
    return sock


def _connected(address: Address, kind: bytes, size: int = 0) -> socket.socket:
    sock = _socket()
    sock.settimeout(QUIET)
    sock.connect(address)
    sock.sendall(HEADER.pack(kind, size))
    return sock


def download(address: Address, size: int) -> None:
    """Fetch so many bytes, to the end."""
    buffer = bytearray(1024 * 1024)
    left = size
    with _connected(address, DOWNLOAD, size) as sock:
        while received := sock.recv_into(buffer):
            left -= received
    if left:
        raise ConnectionError(f"a download of {size} bytes ended {left} bytes short")


def upload(address: Address, size: int) -> None:
    """Send so many bytes, and wait until the origin server has them all."""
    left = size
    with _connected(address, UPLOAD, size) as sock:
        while left:
            left -= sock.send(_PIECE[: min(left, len(_PIECE))])
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
    times = []
    with _connected(address, REQUESTS) as sock:
        end = time.perf_counter() + seconds
        while len(times) < count and (start := time.perf_counter()) < end:
            sock.sendall(question)
            left = RESPONSE
            while left:
                received = len(sock.recv(left))
                if not received:
                    raise ConnectionError("the connection ended in the middle of the requests")
                left -= received
            times.append(time.perf_counter() - start)
    return times


def short(address: Address, seconds: float, at_once: int) -> tuple[int, float]:
    """Connect, fetch 1 kB, close; so many at once. Return the number done, and in what seconds."""
    header = HEADER.pack(DOWNLOAD, SHORT_ANSWER)
    done = 0
    with selectors.EpollSelector() as selector:

        def arrive() -> None:
            sock = _socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            selector.register(sock, selectors.EVENT_WRITE, [SHORT_ANSWER])

        start = time.perf_counter()
        for _ in range(at_once):
            arrive()
        while selector.get_map():
            ready = selector.select(QUIET)
            if not ready:
                raise TimeoutError(f"{len(selector.get_map())} short connections were not served")
            for key, events in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if events & selectors.EVENT_WRITE:
                    sock.send(header)
                    selector.modify(sock, selectors.EVENT_READ, key.data)
                elif data := sock.recv(4096):
                    key.data[0] -= len(data)
                else:
                    if key.data[0]:
                        raise ConnectionError("a short connection's answer was cut")
                    done += 1
                    selector.unregister(sock)
                    sock.close()
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
        header = HEADER.pack(IDLE, 0)
        with selectors.EpollSelector() as selector:
            while len(self.sockets) < count:
                wanted = min(OPENING, count - len(self.sockets)) - len(selector.get_map())
                for _ in range(wanted):
                    sock = _socket()
                    sock.setblocking(False)
                    sock.connect_ex(self.address)
                    selector.register(sock, selectors.EVENT_WRITE)
                ready = selector.select(STUCK)
                if not ready:
                    for key in list(selector.get_map().values()):
                        key.fileobj.close()  # type: ignore[union-attr]  # a socket, see above
                    return False
                for key, events in ready:
                    sock = key.fileobj  # type: ignore[assignment]  # a socket, see above
                    if events & selectors.EVENT_WRITE:
                        sock.send(header)
                        selector.modify(sock, selectors.EVENT_READ)
                    elif sock.recv(1) == DONE:
                        selector.unregister(sock)
                        self.sockets.append(sock)
                    else:
                        raise ConnectionError("an idle client was cut off")
        return True

    def close(self) -> None:
        """Close them all."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
