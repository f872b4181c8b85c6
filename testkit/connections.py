"""TCP connections that a test controls, one end at a time. Every call is bounded by PATIENCE."""

from __future__ import annotations

import contextlib
import hashlib
import random
import select
import socket
import struct
import threading
import time

from testkit.programs import PATIENCE

READ_SIZE = 1 << 20

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close() sends RST."""

_BLOCK = random.Random(3).randbytes(1 << 18)


class TcpPeer:
    """One end of a TCP connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def receive(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        received = bytearray()
        while len(received) < count:
            piece = self.sock.recv(min(count - len(received), READ_SIZE))
            assert piece, f"the connection ended after {len(received)} of {count} bytes"
            received += piece
        return bytes(received)

    def receive_all(self) -> bytes:
        """Return everything up to FIN."""
        received = bytearray()
        while piece := self.sock.recv(READ_SIZE):
            received += piece
        return bytes(received)

    def send_eof(self) -> None:
        """Send FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST, unless the connection was closed before."""
        if self.sock.fileno() == -1:
            return
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.sock.close()

    def is_reset(self) -> bool:
        """Wait for the end of the connection; return whether it is a reset."""
        try:
            while self.sock.recv(READ_SIZE):
                pass
        except ConnectionResetError:
            return True
        return False

    def is_reset_after_eof(self) -> bool:
        """Wait for a reset that follows a FIN which was received before."""
        poll = select.poll()
        poll.register(self.sock, 0)  # errors are reported in any case
        poll.poll(PATIENCE * 1000)
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def is_readable(self) -> bool:
        """Return whether data or an end has arrived."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class UnreadSender(threading.Thread):
    """Sends up to a gigabyte to a peer that does not read, as far as buffers take it."""

    def __init__(self, peer: TcpPeer) -> None:
        super().__init__()
        self.sent = 0
        self._peer = peer

    def run(self) -> None:
        """Send until the connection is shut down."""
        with contextlib.suppress(OSError):  # `end` shuts the socket down
            while self.sent < 1 << 30:
                self.sent += self._peer.sock.send(_BLOCK)

    def end(self) -> None:
        """Stop sending, and reset the connection."""
        # shutdown() wakes up a blocked send(), close() would not.
        with contextlib.suppress(OSError):
            self._peer.sock.shutdown(socket.SHUT_RDWR)
        self.join(PATIENCE)
        self._peer.reset()


class VerifiedTransfer:
    """Sends from one end of a connection as fast as possible; both ends compute a hash."""

    def __init__(self, sender: TcpPeer, receiver: TcpPeer) -> None:
        self.received = 0
        self._sender, self._receiver = sender, receiver
        self._sent_hash, self._received_hash = hashlib.sha256(), hashlib.sha256()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]
        for peer in (sender, receiver):
            peer.sock.settimeout(3 * PATIENCE)  # during an outage nothing moves
        for thread in self._threads:
            thread.start()

    def has_advanced(self, count: int) -> bool:
        """Wait until `count` more bytes have arrived; return whether they have in time."""
        deadline, wanted = time.monotonic() + 2 * PATIENCE, self.received + count
        while self.received < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.received >= wanted

    def finish(self) -> bool:
        """Send FIN, and receive all; return whether everything arrived as it was sent."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
        return self._sent_hash.digest() == self._received_hash.digest()

    def _send(self) -> None:
        while not self._is_over.is_set():
            self._sender.send(_BLOCK)
            self._sent_hash.update(_BLOCK)
        self._sender.send_eof()

    def _receive(self) -> None:
        while data := self._receiver.sock.recv(READ_SIZE):
            self._received_hash.update(data)
            self.received += len(data)
