"""A connected TCP or UNIX socket as an `asyncio.Transport`, optimised for many short connections.

It keeps the contract of asyncio's transports, with these differences:

- It reads nothing before `resume_reading()` is called.
- It reports a reset even while nothing is read: paused, or after EOF (on Linux).
- It reports a reset that follows an EOF, although the kernel shows a reader only the EOF.
- Every end but `close()` sends RST. `close()` sends FIN once everything is written.
- An error of the orderly end, such as shutdown(2) of a connection that was reset just then, is
  reported by `connection_lost` like any other.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, Any, cast

from quictunnel.relay import tcp_options as tcp
from quictunnel.relay.readiness import FAILED, HUNG_UP, WRITABLE, Readiness
from quictunnel.relay.write_buffer import Piece, WriteBuffer

if TYPE_CHECKING:
    from quictunnel.quic.stream import ReadLimiter

READ_SIZE = 64 * 1024
"""Bytes read at a time at first. Allocators keep buffers of this size at hand."""

READ_SIZE_BULK = 256 * 1024
"""Bytes read at a time once a read of `READ_SIZE` was full. Fewer reads cost less Python."""

HIGH_WATER = 64 * 1024
"""Buffered bytes above which the protocol is asked to pause writing; asyncio's default."""

LOW_WATER = HIGH_WATER // 4
"""Buffered bytes at which the protocol is asked to resume writing."""


_NO_PROTOCOL = asyncio.Protocol()
"""The protocol before `attach()` and after `connection_lost`."""


class SocketTransport(asyncio.Transport):
    """A connection on the event loop. Call `attach` to start it.

    :param sock: connected and non-blocking.
    :param readiness: of the running event loop.
    :param peer: the peer's address, if it is known already.
    :param has_options: whether `tcp_options.set_options` was already called for the socket.
    """

    __slots__ = (
        "_closing",
        "_eof_pending",
        "_eof_read",
        "_fd",
        "_lost",
        "_peer",
        "_protocol",
        "_readable",
        "_readiness",
        "_reading",
        "_sock",
        "_sticky_events",
        "_write_buffer",
        "_write_paused",
        "max_read_size",
        "read_limiter",
        "read_size",
    )

    def __init__(
        self,
        sock: socket.socket,
        readiness: Readiness,
        *,
        peer: Any = None,  # noqa: ANN401 - as sockets give it
        has_options: bool = False,
    ) -> None:
        super().__init__()
        if not has_options:
            tcp.set_options(sock)
        self._sock = sock
        self._fd = sock.fileno()
        self._peer = peer
        self._protocol = _NO_PROTOCOL
        self._readiness = readiness
        self.read_size = READ_SIZE
        """Bytes read at a time now: `READ_SIZE` or `READ_SIZE_BULK`."""
        self.max_read_size = READ_SIZE_BULK
        """Upper limit for `read_size`, set by the consumer."""
        self.read_limiter: ReadLimiter | None = None
        """Limits what is read, if set."""
        self._reading = False
        self._readable = False  # there may be unread bytes
        self._sticky_events = 0  # HUNG_UP and FAILED, which stay true once reported
        self._eof_read = False
        self._write_buffer: WriteBuffer | None = None  # None while it is empty
        self._write_paused = False
        self._eof_pending = False
        self._closing = False
        self._lost = False
        """Whether `connection_lost` was called or is scheduled."""

    def __repr__(self) -> str:
        return f"<SocketTransport fd={self._fd}{' closing' if self._closing else ''}>"

    def attach(self, protocol: asyncio.Protocol, events: int = 0) -> None:
        """Set the protocol and call its `connection_made`.

        :param events: the events reported to the socket's previous handler, if it is watched.
        :raises OSError: the system cannot watch another socket.
        """
        self._protocol = protocol
        if events:
            self._readiness.replace_handler(self._fd, self)
        else:
            self._readiness.add(self._fd, self)
        try:
            protocol.connection_made(self)
            if events:
                self.on_ready(events)
        except Exception as exc:  # a bug ends this connection only
            self.on_error(exc)

    # Reading

    def is_reading(self) -> bool:
        """Return whether received bytes are passed to the protocol."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Stop reading. Once the kernel's buffer is full, it holds back the peer."""
        if self._reading:
            self._reading = False
            self._readiness.want_reading(self._fd, wanted=False)
            if self._sticky_events & FAILED and not self._closing:
                # It was left for the reader, which would have seen the bytes before it first.
                self._take_error()

    def resume_reading(self) -> None:
        """Read again."""
        if self._reading or self._closing:
            return
        self._reading = True
        if not self._eof_read:
            self._readiness.want_reading(self._fd, wanted=True)
            if self._readable:
                self._readiness.read_again_soon(self)

    def _read(self) -> None:
        """Read about one piece, and the EOF if it follows."""
        while self._reading:
            size = min(self.read_size, self.max_read_size)
            limiter = self.read_limiter
            if limiter is not None and not (size := limiter.allow(size)):
                self._readable = True
                return
            data = None
            try:
                data = self._sock.recv(size)
            except BlockingIOError:
                self._readable = False
            except OSError as exc:
                self._lose(exc)
            if limiter is not None:
                limiter.settle(len(data or b""))
            if data is None:
                return
            if not data:
                self._read_eof()
                return
            is_full = len(data) == size
            # A short read has emptied the socket. If its end was reported already, read on: epoll
            # will not report it again.
            self._readable = is_full or self._sticky_events != 0
            if is_full and size == READ_SIZE:
                self.read_size = READ_SIZE_BULK
            elif size > READ_SIZE and len(data) < READ_SIZE:
                self.read_size = READ_SIZE
            self._protocol.data_received(data)
            if is_full and self._reading:
                self._readiness.read_again_soon(self)  # let other connections read first
                return
            if not self._readable:
                return

    def _read_eof(self) -> None:
        self._eof_read = True
        self._readable = False
        self._readiness.want_reading(self._fd, wanted=False)
        if self._sticky_events & FAILED:
            self._take_error()
        elif not self._protocol.eof_received():
            self.close()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write what the kernel accepts and buffer the rest.

        :raises RuntimeError: after `write_eof`.
        """
        if self._closing or not data:
            return
        if self._eof_pending:
            raise RuntimeError("Cannot call write() after write_eof()")
        rest: Piece = bytes(data)  # copies nothing if it is bytes already
        if self._write_buffer is None:
            sent = self._send(rest)
            if sent == len(rest) or self._closing:
                return
            rest = memoryview(rest)[sent:]
            self._write_buffer = WriteBuffer()
            self._readiness.want_writing(self._fd, wanted=True)
        self._write_buffer.append(rest)
        if self._write_buffer.size > HIGH_WATER and not self._write_paused:
            self._write_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Send FIN after everything written so far. The other direction stays open."""
        if not (self._closing or self._eof_pending):
            self._eof_pending = True
            if self._write_buffer is None:
                self._shut_down()

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return the number of buffered bytes."""
        return 0 if self._write_buffer is None else self._write_buffer.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and high water marks in bytes."""
        return LOW_WATER, HIGH_WATER

    def _send(self, data: Piece) -> int:
        """Return how many bytes the kernel accepted; 0 if the connection is lost."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self._lose(exc)
            return 0

    def _flush(self, buffer: WriteBuffer) -> None:
        """Write as much of the buffer as the kernel accepts now."""
        buffer.flush(self._send)
        if self._lost:
            return
        if not buffer.size:
            self._write_buffer = None
            self._readiness.want_writing(self._fd, wanted=False)
            if self._closing:
                self._finish()
                return
            if self._eof_pending:
                self._shut_down()
        if self._write_paused and buffer.size <= LOW_WATER and not self._closing:
            self._write_paused = False
            self._protocol.resume_writing()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as exc:  # ENOTCONN: it was reset just now
            self._lose(exc)

    # Endings

    def is_closing(self) -> bool:
        """Return whether the connection has ended or is ending."""
        return self._closing

    def close(self) -> None:
        """Stop reading, flush the write buffer, then end with FIN."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if self._write_buffer is None:
            self._finish()
        elif self._sticky_events & FAILED:
            self._take_error()
        else:
            self._readiness.want_reading(self._fd, wanted=False)

    def abort(self) -> None:
        """End at once with RST and discard the write buffer."""
        self._lose(None)

    def _finish(self) -> None:
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._lose(OSError(number, os.strerror(number)))
            return
        tcp.send_fin_at_close(self._sock)
        self._lose(None)

    def _take_error(self) -> None:
        """End with the socket's pending error."""
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET
        self._lose(OSError(number, os.strerror(number)))

    def _lose(self, exc: Exception | None) -> None:
        """End now. `connection_lost` is called in the next turn of the loop.

        The socket stays open until then, so that its descriptor is not reused.
        """
        if not self._lost:
            self._lost = self._closing = True
            self._reading = False
            self._write_buffer = None
            self._readiness.remove(self._fd)
            self._readiness.call_lost_soon(self._connection_lost, exc)

    def _connection_lost(self, exc: Exception | None) -> None:
        protocol, self._protocol = self._protocol, _NO_PROTOCOL
        try:
            protocol.connection_lost(exc)
        finally:
            self._sock.close()

    # Called by `Readiness`

    def on_ready(self, events: int) -> None:
        """See `readiness.Handler`."""
        if self._lost:
            return
        if events != WRITABLE:
            self._sticky_events |= events & (FAILED | HUNG_UP)
            if self._reading and not (self._closing or self._eof_read):
                self._read()
            elif events & FAILED:
                self._take_error()
            else:
                self._readable = True
        if self._write_buffer is not None and events & WRITABLE:
            self._flush(self._write_buffer)

    def on_error(self, exc: Exception) -> None:
        """See `readiness.Handler`: end the connection and report the bug."""
        self._readiness.report_bug("a connection failed", exc)
        self._lose(exc)

    # Properties

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Use another protocol from now on."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own
        """Return `socket`, `peername` or `sockname`, or the default."""
        if name == "socket":
            return self._sock
        if name == "peername" and self._peer is not None:
            return self._peer
        try:
            if name == "peername":
                return self._sock.getpeername()
            if name == "sockname":
                return self._sock.getsockname()
        except OSError:  # not connected any more
            return default
        return default
