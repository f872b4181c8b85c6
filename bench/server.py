"""The origin server of the bench: `python -m bench.server [ADDRESS]`.

It has one port, on loopback by default. The first nine bytes of a client select the service.
It uses little CPU time: plain sockets, one epoll, few system calls, no copies. The kernel discards
uploads, and downloads come from the page cache.
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
"""The client's first bytes: the kind of service, and a number of bytes for some kinds."""

DOWNLOAD = b"D"
"""Send so many bytes to the client, then FIN."""

UPLOAD = b"U"
"""Receive so many bytes from the client, then answer DONE and FIN."""

REQUESTS = b"R"
"""Answer each REQUEST bytes with RESPONSE bytes."""

ECHO = b"E"
"""Echo the client's bytes."""

IDLE = b"I"
"""Answer DONE, then do nothing."""

DONE = b"!"
REQUEST = 128
RESPONSE = 1024

BACKLOG = 4096
"""The accept queue: more than the clients that connect concurrently."""

ACCEPT_BATCH = 64
"""Connections to accept before others have their turn."""

PIECE = 1 << 20
"""The most bytes per call."""

ENOUGH = 256 * 1024
"""Bytes of a bulk transfer that must have arrived before its receiver wakes up."""

_NOTHING = bytes(PIECE)
_buffer = memoryview(bytearray(PIECE))
"""The buffer for all reads. Its content is not used."""


@functools.cache
def zeros() -> int:
    """Return the descriptor of a memory file of PIECE zero bytes, for `sendfile`."""
    descriptor = os.memfd_create("zeros")
    os.write(descriptor, _NOTHING)
    return descriptor


def discard(sock: socket.socket, left: int, flags: int = 0) -> int:
    """Discard at most `left` received bytes without a copy (MSG_TRUNC, see tcp(7)).

    The kernel wakes up the reader only when ENOUGH bytes have arrived, or at the end.
    """
    if left > 2 * ENOUGH:
        wake_at(sock, ENOUGH)
    received = sock.recv_into(_buffer, min(left, PIECE), flags | socket.MSG_TRUNC)
    if left - received <= 2 * ENOUGH < left:
        wake_at(sock, 1)
    return received


def wake_at(sock: socket.socket, size: int) -> None:
    """Let the socket become readable when so many bytes have arrived."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


class OriginServer:
    """The listening socket and its connections. No call on a socket blocks."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.listener = socket.create_server((address, 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.clients: dict[int, ServedClient] = {}

    def serve(self) -> None:
        """Serve until the program is killed."""
        listening = self.listener.fileno()
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == listening:
                    self.accept()
                else:
                    self.attend(self.clients[descriptor])

    def accept(self) -> None:
        """Accept waiting clients. Most have sent their header already."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(ACCEPT_BATCH):
                self.attend(ServedClient(self.listener.accept()[0]))

    def attend(self, client: ServedClient) -> None:
        """Serve a client as far as possible; then wait for an event, or close it."""
        sock = client.sock
        try:
            wanted = client.advance()
        except OSError:
            wanted = 0  # reset, because a tunnel was stopped
        if not wanted:
            self.clients.pop(sock.fileno(), None)
            sock.close()  # this ends its registration as well
        elif not client.wanted:
            self.clients[sock.fileno()] = client
            self.poll.register(sock, wanted)
        elif wanted != client.wanted:
            self.poll.modify(sock, wanted)
        client.wanted = wanted


class ServedClient:
    """A client and its progress."""

    __slots__ = ("kind", "left", "sock", "wanted")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.kind = b""
        self.left = 0
        self.wanted = 0
        """The events that it waits for. 0 if it has never waited."""

    def advance(self) -> int:
        """Continue; return the event to wait for, or 0 at the end."""
        try:
            if not self.kind and not self._read_header():
                return 0
            if self.kind == DOWNLOAD:
                return self._send()
            return select.EPOLLIN if self._receive() else 0
        except BlockingIOError:
            return select.EPOLLOUT if self.kind == DOWNLOAD else select.EPOLLIN

    def _read_header(self) -> bool:
        header = self.sock.recv(HEADER.size, socket.MSG_DONTWAIT)
        if len(header) < HEADER.size:
            return False  # closed before its header; no client sends half a header
        self.kind, self.left = HEADER.unpack(header)
        if self.kind == DOWNLOAD and self.left > RESPONSE:
            self.sock.setblocking(False)  # sendfile has no MSG_DONTWAIT
        elif self.kind == IDLE:
            self.sock.send(DONE)
        elif self.kind in (REQUESTS, ECHO):
            self.left = REQUEST
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def _send(self) -> int:
        if self.left <= RESPONSE:
            self.left -= self.sock.send(_NOTHING[: self.left], socket.MSG_DONTWAIT)
        else:
            self.left -= os.sendfile(self.sock.fileno(), zeros(), 0, min(self.left, PIECE))
        return select.EPOLLOUT if self.left else 0

    def _receive(self) -> bool:
        """Read data, and answer complete requests; return False at the end."""
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
    gc.disable()  # a full collection would visit ten thousand idle clients
    server = OriginServer(*sys.argv[1:])
    host, port = server.listener.getsockname()
    print(f"ready: {host}:{port}", flush=True)
    server.serve()
