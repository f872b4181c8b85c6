"""A path whose datagrams are binary messages of a WebSocket (RFC 6455)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, cast

from quictunnel.protocol.address import Address
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.path.datagram_queue import DatagramQueue
from quictunnel.quic.path.websocket_frames import (
    MAX_DATAGRAM,
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
    FrameEncoder,
    FrameParser,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.quic.path.datagram_path import PathHandler

UNSENT_BYTES = 16 * 1024
"""Bytes that the kernel holds unsent at most (TCP_NOTSENT_LOWAT). The rest waits in the queue."""

UNACKNOWLEDGED_SECONDS = 30
"""Seconds after which the kernel gives up a connection whose peer acknowledges nothing."""

MIN_WRITE, MAX_WRITE = 4 * 1024, 64 * 1024
"""Bytes written at a time. What the kernel does not accept waits in the transport, outside the
queue's limits. A write is therefore small at first, and doubles while all is accepted."""

WRITE_HIGH_WATER = 1
"""Bytes in a transport's buffer above which it pauses its protocol. 0 always pauses with TLS."""

PING_INTERVAL = 25.0
"""Seconds without data after which a ping is sent. Many proxies close what is idle for 60 s."""

STALL_TIMEOUT = 10.0
"""Seconds for which data may wait while nothing is sent."""

CHECK_INTERVAL = 2.5
"""Seconds between checks of both."""

UNKNOWN_PEER = ("::", 0)
"""The other end of a connection that is broken already."""

SENT_TOO_MUCH = "the peer sent more than it may"
"""Why a path has ended whose allowance was used up."""

LINGER = 2.0
"""Seconds that a close frame has to be sent."""


def prepare_connection(transport: asyncio.BaseTransport) -> None:
    """Set up a TCP connection so that it holds little unsent data, and sends at once.

    For a WebSocket with TLS, call it with the transport of the TCP connection, before TLS starts.
    """
    cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=WRITE_HIGH_WATER, low=0)
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None:
        return
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_SECONDS * 1000),
    ):
        if (option := getattr(socket, name, None)) is not None:
            with contextlib.suppress(OSError):  # a socket of another family, as in tests
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


class WebSocketPath(asyncio.Protocol):
    """An open WebSocket. See `DatagramPath`.

    It takes over a transport after the opening handshake, and reads once `handler` is set.

    :param transport: the connection, with TLS or without. `prepare_connection` was called before.
    :param tcp: the transport of the TCP connection below TLS; None without TLS. TLS does not report
        the data that waits there, nor that the connection is lost.
    :param is_client: whether this end has opened the WebSocket.
    :param received: bytes that were read after the handshake.
    """

    kind = PathKind.WEBSOCKET
    mtu = MAX_DATAGRAM

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        tcp: asyncio.Transport | None = None,
        is_client: bool,
        received: bytes = b"",
    ) -> None:
        self.peer = Address.of(transport.get_extra_info("peername") or UNKNOWN_PEER)
        """The other end of the connection."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._tcp = tcp or transport
        self._encoder = FrameEncoder(masks=is_client)
        self._parser = FrameParser(masked=not is_client)
        self._queue = DatagramQueue()
        self._handler: PathHandler | None = None
        self._received = received
        """Bytes that wait for a handler."""
        self._reason: str | None = None
        """Why the path has ended; None while it is open. Empty if this end has closed it."""
        self._is_paused = False
        """Whether the transport has enough to send."""
        self._progress_at = 0.0
        """While paused: when the transport was last seen to send something."""
        self._waiting = 0
        """While paused: the bytes in the TCP transport's buffer at the last check."""
        self._write_size = MIN_WRITE
        self._sent_at = self._loop.time()
        self.allowance: int | None = None
        """Bytes that the peer may still send before the path ends; None for any number."""
        transport.pause_reading()
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER, low=0)
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)

    @property
    def handler(self) -> PathHandler | None:
        """The owner of the path. It is not called before the next turn of the event loop."""
        return self._handler

    @handler.setter
    def handler(self, handler: PathHandler | None) -> None:
        is_first = self._handler is None
        self._handler = handler
        if is_first and handler is not None:
            self._loop.call_soon(self._start)

    @property
    def queued(self) -> int:
        """Bytes of datagrams that wait to be sent."""
        return self._queue.size

    @property
    def dropped(self) -> int:
        """How many datagrams were dropped: the queue had no room, or they were too large."""
        return self._queue.dropped

    def send(self, datagrams: Sequence[bytes]) -> None:
        """See `DatagramPath`."""
        if self._reason is not None or not datagrams:
            return
        if max(map(len, datagrams)) > MAX_DATAGRAM:
            fitting = [data for data in datagrams if len(data) <= MAX_DATAGRAM]
            self._queue.dropped += len(datagrams) - len(fitting)
            datagrams = fitting
        self._queue.add(datagrams, self._loop.time())
        if not self._is_paused:
            self._write_queued()

    def close(self) -> None:
        """See `DatagramPath`."""
        self._finish(NORMAL_CLOSURE, "")

    def _write_queued(self) -> None:
        """Write from the queue until it is empty or the transport has enough."""
        # asyncio logs writes to a connection that is lost, until it calls `connection_lost`.
        while self._queue and not self._is_paused and not self._tcp.is_closing():
            # TLS pauses, and later resumes, only after one more write than TCP has accepted.
            is_full = self._tcp.get_write_buffer_size() > 0
            datagrams = self._queue.take(1 if is_full else self._write_size)
            self._write_size = MIN_WRITE if is_full else min(self._write_size * 2, MAX_WRITE)
            self._sent_at = self._loop.time()
            self._transport.write(self._encoder.datagrams(datagrams))

    def _start(self) -> None:
        """Begin to read, or report what happened before there was a handler."""
        if self._reason is not None:
            if self._reason and self._handler is not None:
                self._handler.path_closed(self._reason)
            return
        received, self._received = self._received, b""
        if received:
            self.data_received(received)
        if self._reason is None:
            self._transport.resume_reading()

    def _check(self) -> None:
        """End a path that has stalled, and keep an idle one open."""
        now = self._loop.time()
        if self._is_paused:
            waiting = self._tcp.get_write_buffer_size()
            if waiting != self._waiting:  # it may grow by what TLS held
                self._progress_at = now
            self._waiting = waiting
            if now - self._progress_at >= STALL_TIMEOUT:
                self._end(f"the WebSocket has sent nothing for {STALL_TIMEOUT:g} s", NORMAL_CLOSURE)
                return
        elif now - self._sent_at >= PING_INTERVAL:
            self._sent_at = now
            self._transport.write(self._encoder.ping())
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)

    def _end(self, reason: str, code: int) -> None:
        """End the path and tell the handler."""
        if self._finish(code, reason) and self._handler is not None:
            self._handler.path_closed(reason)

    def _finish(self, code: int, reason: str) -> bool:
        """Close the connection. Return whether it was open."""
        if self._reason is not None:
            return False
        self._reason = reason
        self._timer.cancel()
        self._queue.clear()
        self._received = b""
        if self._is_paused or self._tcp.is_closing():
            self._transport.abort()
        else:
            self._transport.write(self._encoder.close(code))
            self._transport.close()
            self._timer = self._loop.call_later(LINGER, self._transport.abort)
        return True

    # Called by the transport

    def data_received(self, data: bytes) -> None:
        """Pass on datagrams, and answer control frames."""
        if self._reason is not None:
            return
        if self._handler is None:  # a transport that cannot pause at once
            self._received += data
            return
        if self.allowance is not None:
            self.allowance -= len(data)
            if self.allowance < 0:
                self._end(SENT_TOO_MUCH, POLICY_VIOLATION)
                return
        datagrams = self._parser.feed(data)
        if (ping := self._parser.ping) is not None:
            self._parser.ping = None
            if not self._is_paused:  # otherwise the peer sees that data arrives
                self._transport.write(self._encoder.pong(ping))
        if datagrams:
            self._handler.datagrams_received(datagrams)
        if (end := self._parser.end) is not None:
            self._end(end.reason, end.code)

    def eof_received(self) -> None:
        """End the path: a WebSocket has no half-closed state."""
        self._end("the peer closed the connection of the WebSocket", NORMAL_CLOSURE)

    def pause_writing(self) -> None:
        """Let datagrams wait."""
        self._is_paused = True
        self._progress_at = self._loop.time()
        self._waiting = self._tcp.get_write_buffer_size()
        self._write_size = MIN_WRITE

    def resume_writing(self) -> None:
        """Write what waits."""
        self._is_paused = False
        self._write_queued()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the path."""
        reason = getattr(exc, "strerror", None) or exc or "closed by the peer"
        self._timer.cancel()
        self._end(f"the connection of the WebSocket was lost: {reason}", NORMAL_CLOSURE)
