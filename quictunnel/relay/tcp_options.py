"""Options of a relayed TCP socket.

The most important one is SO_LINGER with a time of 0. While it is set, closing the socket sends RST,
whatever the cause: our abort, a crash, `kill -9`. The peer cannot mistake that for an orderly end.
It is removed only for an orderly end.

How the loss of the peer is detected:

- RST: at once, by reading, by writing, or by `quictunnel.relay.readiness` otherwise (on Linux).
- Silence while the connection is idle (power cut, unplugged cable): by keep-alive. An origin server
  is lost after 2 minutes, a client by default after 3.
- Silence with unacknowledged bytes: by the kernel's retransmission limit (tcp_retries2, about 15
  minutes on Linux). For clients, Linux 6.15 and newer retransmit more often, so that they are lost
  in about the same time as idle ones. TCP_USER_TIMEOUT would do so on older systems, but Linux
  applies it also to a peer that answers every probe and does not read. Such a client is slow, not
  dead.

A UNIX socket has no RST: a connection that was cut looks to the origin server like an orderly end.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import math
import socket
import struct
import sys
import termios
from typing import NamedTuple, Protocol

KEEPALIVE_PROBES = 4
"""Unanswered probes after which a connection is lost."""

_RETRANSMISSIONS = 11
"""Intervals of the longest length that 15 retransmissions (tcp_retries2) take, approximately."""

_RTO_MAX_RANGE = (1_000, 120_000)
"""Milliseconds that Linux accepts as the longest interval between retransmissions."""


class KeepAlive(NamedTuple):
    """When the kernel probes a connection, in seconds."""

    idle: int
    """Idle time before the first probe; 0 for none."""
    interval: int
    """Time between unanswered probes."""
    limits_retransmission: bool = False
    """Whether unacknowledged bytes are given up in about the same time, where Linux can do so."""

    @classmethod
    def of_client(cls, idle: float) -> KeepAlive:
        """Return the times by which a client is lost after three times the idle time.

        :param idle: the idle time before the first probe; 0 for none.
        """
        return cls(math.ceil(idle), math.ceil(idle / 2), limits_retransmission=True)


SERVER_KEEPALIVE = KeepAlive(idle=60, interval=15)
"""The times of origin servers. The idle time is shorter than that of common NATs, which would
otherwise drop an idle connection."""

OPTIONS_ARE_INHERITED = sys.platform == "linux"
"""Whether accepted sockets inherit all these options from the listening socket. On other systems,
they do not inherit the keep-alive times."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_FIN_AT_CLOSE = struct.pack("ii", 0, 0)


_TCP_RTO_MAX_MS = 44  # linux/tcp.h, since Linux 6.15
_TIMES = tuple(
    (getattr(socket, name), field)
    for name, field in (
        ("TCP_KEEPIDLE", "idle"),
        ("TCP_KEEPALIVE", "idle"),  # the same, on macOS
        ("TCP_KEEPINTVL", "interval"),
    )
    if hasattr(socket, name)
)


class Socket(Protocol):
    """The part of `socket.socket` that is used."""

    def fileno(self) -> int:
        """Return the file descriptor."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Set an option."""


def set_options(sock: Socket, keep_alive: KeepAlive = SERVER_KEEPALIVE) -> None:
    """Set the options of a relayed socket, before or after connect(2) or listen(2)."""
    send_rst_at_close(sock)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_keep_alive(sock, keep_alive)
    except OSError:
        # A UNIX socket has none of them. Some systems also refuse them for a socket that the peer
        # has reset; reading it will report that error.
        return


def set_keep_alive(sock: Socket, keep_alive: KeepAlive) -> None:
    """Set when the kernel probes a connection.

    :raises OSError: the socket is no TCP socket, or its connection has ended.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keep_alive.idle > 0))
    if keep_alive.idle:
        for option, field in _TIMES:
            sock.setsockopt(socket.IPPROTO_TCP, option, getattr(keep_alive, field))
        if hasattr(socket, "TCP_KEEPCNT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    if keep_alive.limits_retransmission and sys.platform == "linux":
        least, most = _RTO_MAX_RANGE
        lost_after = keep_alive.idle + KEEPALIVE_PROBES * keep_alive.interval
        wanted = lost_after * 1000 // _RETRANSMISSIONS or most
        with contextlib.suppress(OSError):  # before Linux 6.15
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, min(max(wanted, least), most))


def send_rst_at_close(sock: Socket) -> None:
    """Have the kernel send RST and discard unsent bytes when the socket is closed.

    Set on a listening socket, it is inherited by accepted sockets, which leaves no gap.
    """
    _set_linger(sock, _RESET_AT_CLOSE)


def send_fin_at_close(sock: Socket) -> None:
    """Have the kernel deliver unsent bytes and send FIN when the socket is closed."""
    _set_linger(sock, _FIN_AT_CLOSE)


def _set_linger(sock: Socket, value: bytes) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
    except OSError:
        return  # see `set_options`


def unacknowledged(sock: Socket) -> int:
    """Return how many bytes in the kernel's send buffer the peer has not acknowledged.

    Linux reports this (tcp(7), SIOCOUTQ, the same number as TIOCOUTQ). Elsewhere the result is 0.
    """
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _count)
    except OSError:
        return 0
    return _count[0]


_count = array.array("i", [0])
