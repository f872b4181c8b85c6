"""Clients that measure, in a thread of their own: echoes on open connections, and new connections.

They start on schedule, whether or not earlier ones have been answered. A stall therefore counts for
every client that it delays.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.server import ECHO, HEADER

CONNECTIONS = 8
"""Open connections that send echoes."""

ECHO_INTERVAL = 0.1
"""Seconds between two questions of a connection."""

NEW_INTERVAL = 0.25
"""Seconds between two new clients."""

GIVE_UP = 5.0
"""Seconds after which a new client gives up."""

QUESTION = bytes(64)


@dataclass
class Samples:
    """Measurements of clients, in seconds."""

    echoes: list[float] = field(default_factory=list)
    """From the time at which a question was due until its answer."""
    starts: list[float] = field(default_factory=list)
    """From the connect of a new client until its first answer. GIVE_UP if there was none."""
    failed: int = 0
    """New clients without an answer."""
    lost: int = 0
    """Open connections that ended."""


class OpenClient:
    """A connection that sends questions on schedule."""

    def __init__(self, sock: socket.socket, first_at: float) -> None:
        self.sock = sock
        self.due_at = first_at
        self.asked: deque[float] = deque()
        """When the unanswered questions were due."""
        self._unsent = HEADER.pack(ECHO, 0)
        self._received = 0

    def ask(self, now: float) -> None:
        """Send the questions that are due."""
        while self.due_at <= now:
            self.asked.append(self.due_at)
            self.due_at += ECHO_INTERVAL
            self._unsent += QUESTION
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self.sock.send(self._unsent) :]

    def read(self, now: float) -> list[float]:
        """Return the durations of the questions that are answered now.

        :raises OSError: the connection has ended.
        """
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionResetError
        self._received += len(data)
        answered, self._received = divmod(self._received, len(QUESTION))
        return [now - self.asked.popleft() for _ in range(answered)]


@dataclass
class NewClient:
    """A connection that asks once."""

    sock: socket.socket
    started_at: float
    has_asked: bool = False
    received: int = 0

    def advance(self) -> bool:
        """Go on; return whether the answer is complete.

        :raises OSError: the connection has failed.
        """
        if not self.has_asked:
            if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
            self.sock.send(HEADER.pack(ECHO, 0) + QUESTION)
            self.has_asked = True
            return False
        data = self.sock.recv(len(QUESTION))
        if not data:
            raise ConnectionResetError
        self.received += len(data)
        return self.received == len(QUESTION)


class MeasuringClients(threading.Thread):
    """All clients of a site. `stop` ends them.

    :param new_socket: returns a socket on the clients' host.
    """

    def __init__(self, new_socket: Callable[[], socket.socket], address: tuple[str, int]) -> None:
        super().__init__()
        self._new_socket = new_socket
        self._address = address
        self._lock = threading.Lock()
        self._samples = Samples()
        self._stopped = False
        self._poll = select.epoll()
        self._open: dict[int, OpenClient] = {}
        self._new: dict[int, NewClient] = {}
        self._next_new = time.monotonic()

    def take(self) -> Samples:
        """Return what was measured since the last call. Unanswered questions count as they are."""
        with self._lock:
            taken, self._samples = self._samples, Samples()
            now = time.monotonic()
            taken.echoes += [now - at for one in self._open.values() for at in one.asked]
        return taken

    def stop(self) -> None:
        """Close all connections."""
        self._stopped = True
        self.join()

    def run(self) -> None:
        """Measure until stopped."""
        # The clients' machines are not those of the programs that are measured.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        start = time.monotonic()
        for number in range(CONNECTIONS):
            sock = self._new_socket()
            sock.connect(self._address)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            first_at = start + ECHO_INTERVAL * (1 + number / CONNECTIONS)
            self._open[sock.fileno()] = OpenClient(sock, first_at)
            self._poll.register(sock, select.EPOLLIN)
        while not self._stopped:
            with self._lock:
                self._step()
            due = [self._next_new, *(client.due_at for client in self._open.values())]
            self._poll.poll(max(min(due) - time.monotonic(), 0))
        socks = [client.sock for client in self._open.values()]
        for sock in (*socks, *(client.sock for client in self._new.values())):
            sock.close()

    def _step(self) -> None:
        for descriptor, _ in self._poll.poll(0):
            if (client := self._open.get(descriptor)) is not None:
                self._read(descriptor, client)
            else:
                self._advance(descriptor, self._new[descriptor])
        now = time.monotonic()
        for descriptor, client in list(self._open.items()):
            try:
                client.ask(now)
            except OSError:
                self._lose(descriptor)
        for descriptor, new in list(self._new.items()):
            if now - new.started_at > GIVE_UP:
                self._fail(descriptor)
        if self._next_new <= now:
            self._next_new += NEW_INTERVAL
            self._start(now)

    def _read(self, descriptor: int, client: OpenClient) -> None:
        try:
            self._samples.echoes += client.read(time.monotonic())
        except OSError:
            self._lose(descriptor)

    def _lose(self, descriptor: int) -> None:
        self._open.pop(descriptor).sock.close()
        self._samples.lost += 1

    def _start(self, now: float) -> None:
        sock = self._new_socket()
        sock.setblocking(False)
        if (error := sock.connect_ex(self._address)) not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        self._new[sock.fileno()] = NewClient(sock, now)
        self._poll.register(sock, select.EPOLLOUT)

    def _advance(self, descriptor: int, client: NewClient) -> None:
        try:
            is_complete = client.advance()
        except OSError:
            self._fail(descriptor)
            return
        if is_complete:
            self._samples.starts.append(time.monotonic() - client.started_at)
            self._new.pop(descriptor).sock.close()
        else:
            self._poll.modify(descriptor, select.EPOLLIN)

    def _fail(self, descriptor: int) -> None:
        self._new.pop(descriptor).sock.close()
        self._samples.starts.append(GIVE_UP)
        self._samples.failed += 1
