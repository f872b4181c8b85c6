"""The origin server of the bench: `python -m bench.server [ADDRESS]`. Serves what headers ask for.

One port (on loopback if no address is given), for a tunnel has one service; so each client says in
its first nine bytes what it wants. It leaves the processor to what is measured: plain sockets and
one epoll, one call for what can be done in one, nothing copied that nobody looks at. Uploads are
thrown away within the kernel, and downloads come out of the page cache.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import select
import socket
import struct
import sys

from bench.limits import raise_descriptors

HEADER = struct.Struct(">cQ")
"""The client's first bytes: the kind of service, and a number of bytes where the kind has one."""

DOWNLOAD = b"D"
"""So many bytes to the client, then the end."""

UPLOAD = b"U"
"""So many bytes from the client, then the answer DONE and the end."""

REQUESTS = b"R"
"""For each REQUEST bytes, RESPONSE bytes; for ever."""

ECHO = b"E"
"""What comes from the client goes back at once; for ever."""

IDLE = b"I"
"""The answer DONE at once, then nothing."""

DONE = b"!"
REQUEST = 128
RESPONSE = 1024

BACKLOG = 4096
"""Connections that may wait to be accepted: more than the clients that arrive at once."""

ACCEPTED_AT_ONCE = 64
"""Connections accepted before the others are looked after again."""

PIECE = 1 << 20
"""Bytes moved in one call at most."""

ENOUGH = 256 * 1024
"""Bytes of a bulk that must have come before its receiver is woken: fewer, larger calls."""

_NOTHING = bytes(PIECE)
_buffer = memoryview(bytearray(PIECE))
"""What is read into; nobody looks at it again."""


@functools.cache
def zeros() -> int:
    """Return a descriptor of PIECE zero bytes in memory, for `sendfile`: sent without a copy."""
    descriptor = os.memfd_create("zeros")
    os.write(descriptor, _NOTHING)
    return descriptor


def discard(sock: socket.socket, left: int, flags: int = 0) -> int:
    """Take bytes that wait, at most `left`, and copy them to nowhere (MSG_TRUNC, see tcp(7)).

    Wakes its reader seldom: the kernel holds back the news until ENOUGH has come, or the end.
    """
    if left > 2 * ENOUGH:
        wake_at(sock, ENOUGH)
    received = sock.recv_into(_buffer, min(left, PIECE), flags | socket.MSG_TRUNC)
    if left - received <= 2 * ENOUGH < left:
        wake_at(sock, 1)
    return received


def wake_at(sock: socket.socket, size: int) -> None:
    """Let the socket be readable when so many bytes wait."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


class OriginServer:
    """The door, and the clients behind it. Every call on a socket is made at once or not at all."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.door = socket.create_server((address, 0), backlog=BACKLOG)
        self.door.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.door, select.EPOLLIN)
        self.clients: dict[int, ServedClient] = {}

    def serve(self) -> None:
        """Serve for ever."""
        door = self.door.fileno()
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == door:
                    self.accept()
                else:
                    self.attend(self.clients[descriptor])

    def accept(self) -> None:
        """Let in those who wait; most have sent their header by now."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(ACCEPTED_AT_ONCE):
                self.attend(ServedClient(self.door.accept()[0]))

    def attend(self, client: ServedClient) -> None:
        """Do what can be done for a client; wait for more, or be rid of it."""
        sock = client.sock
        try:
            wanted = client.advance()
        except OSError:
            wanted = 0  # reset: a client of a tunnel that was ended
        if not wanted:
            self.clients.pop(sock.fileno(), None)
            sock.close()  # which ends its registration as well
        elif not client.wanted:
            self.clients[sock.fileno()] = client
            self.poll.register(sock, wanted)
        elif wanted != client.wanted:
            self.poll.modify(sock, wanted)
        client.wanted = wanted


class ServedClient:
    """One client, and how far it has got."""

    __slots__ = ("kind", "left", "sock", "wanted")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.kind = b""
        self.left = 0
        self.wanted = 0
        """The events that it waits for; 0 when it has never waited."""

    def advance(self) -> int:
        """Go on; return the event to wait for, or 0 when it is served."""
        try:
            if not self.kind and not self._begin():
                return 0
            if self.kind == DOWNLOAD:
                return self._pour()
            return select.EPOLLIN if self._hear() else 0
        except BlockingIOError:
            return select.EPOLLOUT if self.kind == DOWNLOAD else select.EPOLLIN

    def _begin(self) -> bool:
        header = self.sock.recv(HEADER.size, socket.MSG_DONTWAIT)
        if len(header) < HEADER.size:
            return False  # gone before it said anything; nobody sends half a header
        self.kind, self.left = HEADER.unpack(header)
        if self.kind == DOWNLOAD and self.left > RESPONSE:
            self.sock.setblocking(False)  # sendfile has no flag for it
        elif self.kind == IDLE:
            self.sock.send(DONE)
        elif self.kind in (REQUESTS, ECHO):
            self.left = REQUEST
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def _pour(self) -> int:
        if self.left <= RESPONSE:
            self.left -= self.sock.send(_NOTHING[: self.left], socket.MSG_DONTWAIT)
        else:
            self.left -= os.sendfile(self.sock.fileno(), zeros(), 0, min(self.left, PIECE))
        return select.EPOLLOUT if self.left else 0

    def _hear(self) -> bool:
        """Take what has come, answer what is complete; return False at the end."""
        if self.kind == ECHO:
            echoed = self.sock.recv(PIECE, socket.MSG_DONTWAIT)
            self.sock.send(echoed)
            return bool(echoed)
        received = discard(self.sock, max(self.left, 1), socket.MSG_DONTWAIT)
        if not received:
            return False
        self.left -= received
        if self.kind == UPLOAD and not self.left:
            self.sock.send(DONE)
            return False
        if self.kind == REQUESTS and not self.left:
            self.left = REQUEST
            self.sock.send(_NOTHING[:RESPONSE])
        return True


if __name__ == "__main__":
    raise_descriptors()
    gc.disable()  # ten thousand idle clients are walked at each full collection otherwise
    server = OriginServer(*sys.argv[1:])
    host, port = server.door.getsockname()
    print(f"ready: {host}:{port}", flush=True)
    server.serve()
