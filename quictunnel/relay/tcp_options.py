"""The options of a relayed TCP socket. What a connection's end means is decided elsewhere.

The main one is SO_LINGER with a time of zero: while it is set, whatever closes the socket (our
abort, a crash, `kill -9`) sends RST, which the other end cannot take for an orderly end. It is
taken off at the orderly end alone.

How the death of the other end is noticed:

- RST: at once, by reading, by writing, or by `quictunnel.relay.readiness` while neither is going
  on (on Linux).
- Silence (power cut, pulled cable) on a quiet connection: by keep-alive, after about two minutes.
- Silence with bytes on the way to it: by the kernel's retransmission limit (tcp_retries2, about
  fifteen minutes on Linux). TCP_USER_TIMEOUT would shorten that, but Linux also applies it to a
  peer that answers every probe and merely does not read, and such a client is only slow, not
  dead.

A UNIX socket has no RST: there, a cut connection looks to the origin server like an orderly end,
and only the client is told the truth.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
import termios
from typing import Protocol

KEEPALIVE_IDLE = 60
"""Seconds without a byte after which the kernel asks whether the other end is still there: less
than the idle times of common NATs, so that a quiet connection is not forgotten by them either."""

KEEPALIVE_INTERVAL = 15
"""Seconds between two such questions."""

KEEPALIVE_PROBES = 4
"""Unanswered questions after which the connection is lost."""

OPTIONS_ARE_INHERITED = sys.platform == "linux"
"""Whether sockets that are accepted have all these options from the listening one. Elsewhere the
times of keep-alive are not among them."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_FIN_AT_CLOSE = struct.pack("ii", 0, 0)


def _options() -> tuple[tuple[int, int, int], ...]:
    """Return the options of a TCP socket and their values, where the system has them."""
    wanted = (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_IDLE),
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", KEEPALIVE_IDLE),  # the same, on macOS
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", KEEPALIVE_PROBES),
    )
    return tuple(
        (level, getattr(socket, name), value)
        for level, name, value in wanted
        if hasattr(socket, name)
    )


_OPTIONS = _options()


class Socket(Protocol):
    """What is used of a socket."""

    def fileno(self) -> int:
        """The descriptor."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Set an option, as of `socket.socket`."""


def prepare(sock: Socket) -> None:
    """Give a socket the options of a relayed one: before connect(2), listen(2) or thereafter."""
    reset_unless_ended(sock)
    try:
        for level, option, value in _OPTIONS:
            sock.setsockopt(level, option, value)
    except OSError:
        # A UNIX socket has none of them; and some systems refuse them to a socket that the other
        # end has reset already, of which reading it brings the real error.
        return


def reset_unless_ended(sock: Socket) -> None:
    """Have the kernel send RST and drop what is unsent when the socket is closed by whatever.

    On a listening socket it is inherited by the accepted ones, which leaves no moment without it.
    """
    _set_linger(sock, _RESET_AT_CLOSE)


def end_in_order(sock: Socket) -> None:
    """Have the kernel deliver what was written and send FIN when the socket is closed."""
    _set_linger(sock, _FIN_AT_CLOSE)


def _set_linger(sock: Socket, value: bytes) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
    except OSError:
        return  # as above


def unacknowledged(sock: Socket) -> int:
    """Return how many bytes the kernel holds that the other end has not acknowledged.

    Linux tells (tcp(7), SIOCOUTQ, the same number as TIOCOUTQ); where a system does not, it is 0.
    """
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _count)
    except OSError:
        return 0
    return _count[0]


_count = array.array("i", [0])
