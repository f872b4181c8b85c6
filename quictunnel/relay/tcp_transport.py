"""A connected TCP or UNIX socket as an `asyncio.Transport`, made for many and short connections.

It keeps the promises of asyncio's own transports, and differs from them in this:

- It reads nothing before it is told to by `resume_reading()`.
- While nothing is read, be it paused or after an EOF, a reset is noticed all the same (on Linux).
- A reset behind an EOF is a reset: the kernel tells a reader of the EOF alone.
- Whatever ends it sends RST, except for `close()`: once all is written, that sends FIN.
- What fails in the orderly end (shutdown of a connection that was reset that very moment) is told
  by `connection_lost`, as all else.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, cast

from quictunnel.relay import tcp_options as tcp
from quictunnel.relay.readiness import FAILED, HUNG_UP, WRITABLE, Readiness
from quictunnel.relay.write_buffer import Piece, WriteBuffer

READ_SIZE = 64 * 1024
"""Bytes read at a time from a connection that sends little: what an allocator has at hand."""

READ_SIZE_BULK = 256 * 1024
"""Bytes read at a time from one that has filled the former: each piece costs Python something."""

HIGH_WATER = 64 * 1024
"""Bytes that wait for the kernel at which the protocol is asked to pause: asyncio's number."""

LOW_WATER = HIGH_WATER // 4


_NOBODY = asyncio.Protocol()
"""The protocol before the first and after the last."""


class SocketTransport(asyncio.Transport):
    """A connection on the event loop.

    :param sock: connected, and not blocking.
    :param readiness: the loop's.
    :param peer: the other end's address, where it is known already.
    :param is_prepared: whether the socket has the options of `tcp.prepare` already.
    """

    __slots__ = (
        "_closing",
        "_ended",
        "_eof_due",
        "_fd",
        "_lost",
        "_news",
        "_outgoing",
        "_peer",
        "_protocol",
        "_readable",
        "_readiness",
        "_reading",
        "_sock",
        "_write_paused",
        "read_most",
        "read_size",
    )

    def __init__(
        self,
        sock: socket.socket,
        readiness: Readiness,
        *,
        peer: Any = None,  # noqa: ANN401 - as sockets give it
        is_prepared: bool = False,
    ) -> None:
        super().__init__()
        if not is_prepared:
            tcp.prepare(sock)
        self._sock = sock
        self._fd = sock.fileno()
        self._peer = peer
        self._protocol = _NOBODY
        self._readiness = readiness
        self.read_size = READ_SIZE
        """Bytes that are read at a time, until that proves to be little."""
        self.read_most = READ_SIZE_BULK
        """Bytes that are read at a time at most: what those who get them can hold."""
        self._reading = False
        self._readable = False  # something may be there that was not read
        self._news = 0  # what has been told and does not pass: HUNG_UP, FAILED
        self._ended = False  # EOF was read
        self._outgoing: WriteBuffer | None = None  # while something waits
        self._write_paused = False
        self._eof_due = False
        self._closing = False
        self._lost = False
        """Whether connection_lost was called, or is on its way."""

    def __repr__(self) -> str:
        return f"<SocketTransport fd={self._fd}{' closing' if self._closing else ''}>"

    def begin(self, protocol: asyncio.Protocol, events: int = 0) -> None:
        """Take a protocol and tell it that the connection stands.

        :param events: what has been told to whom the socket belonged to before, if it is watched.
        :raises OSError: the system cannot watch one more socket.
        """
        self._protocol = protocol
        if events:
            self._readiness.hand_over(self._fd, self)
        else:
            self._readiness.add(self._fd, self)
        try:
            protocol.connection_made(self)
            if events:
                self.ready(events)
        except Exception as exc:  # whatever it is, it ends this connection alone
            self.broken(exc)

    # Reading

    def is_reading(self) -> bool:
        """Whether bytes are handed to the protocol as they come."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Hand over nothing more; the kernel holds what comes, and then the other end back."""
        if self._reading:
            self._reading = False
            self._readiness.want_reading(self._fd, wanted=False)
            if self._news & FAILED and not self._closing:
                # It was left to the reader, behind the bytes that came before it.
                self._take_error()

    def resume_reading(self) -> None:
        """Hand over what comes, and what has come."""
        if self._reading or self._closing:
            return
        self._reading = True
        if not self._ended:
            self._readiness.want_reading(self._fd, wanted=True)
            if self._readable:
                self._readiness.again(self)

    def _read(self) -> None:
        """Hand over what is there, about one piece of it, and an EOF behind it."""
        while self._reading:
            size = min(self.read_size, self.read_most)
            try:
                data = self._sock.recv(size)
            except BlockingIOError:
                self._readable = False
                return
            except OSError as exc:
                self._lose(exc)
                return
            if not data:
                self._read_eof()
                return
            is_full = len(data) == size
            # Less than was asked for is all there is; unless an end is known to be behind it,
            # of which no news will come.
            self._readable = is_full or self._news != 0
            if is_full and size == READ_SIZE:
                self.read_size = READ_SIZE_BULK
            elif size > READ_SIZE and len(data) < READ_SIZE:
                self.read_size = READ_SIZE
            self._protocol.data_received(data)
            if is_full and self._reading:
                self._readiness.again(self)  # others have their turn first
                return
            if not self._readable:
                return

    def _read_eof(self) -> None:
        self._ended = True
        self._readable = False
        self._readiness.want_reading(self._fd, wanted=False)
        if self._news & FAILED:
            self._take_error()
        elif not self._protocol.eof_received():
            self.close()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write what the kernel takes and keep the rest; past the high water the protocol pauses.

        :raises RuntimeError: after `write_eof`.
        """
        if self._closing or not data:
            return
        if self._eof_due:
            raise RuntimeError("Cannot call write() after write_eof()")
        kept: Piece = bytes(data)  # what is bytes already is not copied
        if self._outgoing is None:
            sent = self._send(kept)
            if sent == len(kept) or self._closing:
                return
            kept = memoryview(kept)[sent:]
            self._outgoing = WriteBuffer()
            self._readiness.want_writing(self._fd, wanted=True)
        self._outgoing.keep(kept)
        if self._outgoing.size > HIGH_WATER and not self._write_paused:
            self._write_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Send FIN behind all that was written; the other direction lives on."""
        if not (self._closing or self._eof_due):
            self._eof_due = True
            if self._outgoing is None:
                self._shut_down()

    def can_write_eof(self) -> bool:
        """Connections can be half closed."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for the kernel to take them."""
        return 0 if self._outgoing is None else self._outgoing.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high water in bytes."""
        return LOW_WATER, HIGH_WATER

    def _send(self, data: Piece) -> int:
        """Return how many bytes the kernel has taken; none when the connection is lost by it."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self._lose(exc)
            return 0

    def _send_on(self, outgoing: WriteBuffer) -> None:
        """Write of what waits as much as the kernel takes now."""
        outgoing.give(self._send)
        if self._lost:
            return
        if not outgoing.size:
            self._outgoing = None
            self._readiness.want_writing(self._fd, wanted=False)
            if self._closing:
                self._end_in_order()
                return
            if self._eof_due:
                self._shut_down()
        if self._write_paused and outgoing.size <= LOW_WATER and not self._closing:
            self._write_paused = False
            self._protocol.resume_writing()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as exc:  # ENOTCONN: it was reset, and nobody has noticed
            self._lose(exc)

    # Endings

    def is_closing(self) -> bool:
        """Whether it has ended or is about to."""
        return self._closing

    def close(self) -> None:
        """Read no more, write out what was written, then end in order: with FIN."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if self._outgoing is None:
            self._end_in_order()
        elif self._news & FAILED:
            self._take_error()
        else:
            self._readiness.want_reading(self._fd, wanted=False)

    def abort(self) -> None:
        """End at once with RST, and drop what waits."""
        self._lose(None)

    def _end_in_order(self) -> None:
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._lose(OSError(number, os.strerror(number)))
            return
        tcp.end_in_order(self._sock)
        self._lose(None)

    def _take_error(self) -> None:
        """End by the error that waits at the socket."""
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET
        self._lose(OSError(number, os.strerror(number)))

    def _lose(self, exc: Exception | None) -> None:
        """End now; the protocol is told in the next turn of the loop, and not from within a call.

        So long the socket stays open, that its number belongs to nobody else.
        """
        if not self._lost:
            self._lost = self._closing = True
            self._reading = False
            self._outgoing = None
            self._readiness.remove(self._fd)
            self._readiness.say_last(self._connection_lost, exc)

    def _connection_lost(self, exc: Exception | None) -> None:
        protocol, self._protocol = self._protocol, _NOBODY
        try:
            protocol.connection_lost(exc)
        finally:
            self._sock.close()

    # What is told of the socket

    def ready(self, events: int) -> None:
        """See `readiness.Handler`."""
        if self._lost:
            return
        if events != WRITABLE:
            self._news |= events & (FAILED | HUNG_UP)
            if self._reading and not (self._closing or self._ended):
                self._read()
            elif events & FAILED:
                self._take_error()
            else:
                self._readable = True
        if self._outgoing is not None and events & WRITABLE:
            self._send_on(self._outgoing)

    def broken(self, exc: Exception) -> None:
        """See `readiness.Handler`: end what has a bug above it, and show it."""
        self._readiness.show("a connection failed", exc)
        self._lose(exc)

    # Facts

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes to `protocol` from now on."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is told of what comes."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own
        """Return a fact: `socket`, `peername`, `sockname`."""
        if name == "socket":
            return self._sock
        if name == "peername" and self._peer is not None:
            return self._peer
        try:
            if name == "peername":
                return self._sock.getpeername()
            if name == "sockname":
                return self._sock.getsockname()
        except OSError:  # the other end has gone
            return default
        return default
