"""A time limit for everything that happens on a connection."""

from __future__ import annotations

import contextlib
import os
import socket
import threading


class Deadline:
    """Ends a connection in time, even if its peer sends a byte every second.

    :param sock: the connected socket, with or without TLS.
    :param left: seconds until then.
    """

    def __init__(self, sock: socket.socket, left: float) -> None:
        self.is_over = False
        """Whether the connection was ended."""
        # The descriptor stays with this object, as TLS takes over that of `sock`.
        self._sock = socket.socket(fileno=os.dup(sock.fileno()))
        self._timer = threading.Timer(left, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Do not end the connection any more. It may be called again."""
        self._timer.cancel()
        self._sock.close()

    def _end(self) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):  # the connection has ended meanwhile
            self._sock.shutdown(socket.SHUT_RDWR)
