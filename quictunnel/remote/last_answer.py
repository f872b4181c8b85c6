"""Sends a client a last answer and closes its connection such that the answer arrives.

Closing a socket that holds unread bytes sends RST, which may destroy the answer before the client
reads it. The rest of what the client sends is therefore read and dropped until its FIN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quictunnel.relay.tcp_transport import READ_SIZE, SocketTransport

TIME_LIMIT = 2.0
"""Seconds that the client has to read the answer and to close its end."""

DROP_LIMIT = 1024 * 1024
"""Bytes that are read and dropped, such as the body of a request. More of them end in a reset."""


class LastAnswer(asyncio.Protocol):
    """Ends one connection with an answer.

    :param answer: a few bytes, which fit the socket's buffer.
    :param on_end: called once the connection has ended.
    """

    def __init__(
        self, transport: SocketTransport, answer: bytes, on_end: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._on_end = on_end
        self._dropped = 0
        self._deadline = asyncio.get_running_loop().call_later(TIME_LIMIT, self._time_out)
        transport.set_protocol(self)
        transport.read_size = READ_SIZE
        transport.write(answer)
        transport.write_eof()
        transport.resume_reading()

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Drop the bytes."""
        self._dropped += len(data)
        if self._dropped > DROP_LIMIT:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        self._deadline.cancel()
        self._on_end()

    def _time_out(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()
