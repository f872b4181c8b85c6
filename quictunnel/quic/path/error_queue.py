"""Reads the ICMP errors that a UDP socket's datagrams have caused, with what they quote (Linux).

A bound socket learns of no ICMP error without it, and a connected one does not learn which datagram
an error is about. An attacker who guesses addresses and ports can forge an ICMP message. The quoted
datagram shows whether its sender has seen a datagram of the connection.

Errors have a side effect: while one is pending, the next system call on the socket fails, whatever
it is about. `PENDING_ERRORS` lists such failures.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from quictunnel.protocol.address import Address
from quictunnel.quic.limits import ICMP_ERRORS_PER_SECOND

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

logger = logging.getLogger("quictunnel.quic.path.error_queue")

SENT_BYTES = 16
"""Bytes that are kept of the latest datagram of a connection, to recognise a quotation."""

_SHORT_HEADER_BYTES = 9
"""The first byte and 8 bytes of the connection ID (RFC 9000, section 17.3.1). If the ID is shorter,
the encrypted bytes behind it are compared, which only the latest datagram has."""

_LONG_HEADER_BYTES = 14
"""The same in a packet with a long header (RFC 9000, section 17.2)."""

_ON_LINUX = sys.platform == "linux"
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_MSG_ERRQUEUE = 0x2000  # linux/socket.h
_EXTENDED_ERROR = struct.Struct("@IBBBBII")  # linux/errqueue.h: struct sock_extended_err
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
_ADDRESS4 = struct.Struct("4x4s")  # struct sockaddr_in: family, port, address
_ADDRESS6 = struct.Struct("8x16s")  # struct sockaddr_in6: family, port, flow, address
_ANCILLARY_BYTES = 256
_QUOTED_BYTES = 64

_UNREACHABLE4, _UNREACHABLE6 = 3, 1  # types: destination unreachable (RFC 792, RFC 4443)
_PORT4, _PORT6 = 3, 4  # codes: port unreachable
_FINAL4 = frozenset({2, 3, 6, 7, 8, 9, 10, 13, 14, 15})
_FINAL6 = frozenset({1, 4, 5, 6})

PENDING_ERRORS = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EHOSTDOWN,
        errno.EPROTO,
        errno.EACCES,
        getattr(errno, "ENONET", errno.EHOSTUNREACH),
    }
)
"""Errors of system calls that may be about an earlier datagram. So may EMSGSIZE, which is rare."""


class IcmpError(NamedTuple):
    """An ICMP error about a datagram that this end has sent."""

    destination: Address
    """Where the datagram was sent to."""
    code: int
    """The errno with which system calls report it."""
    is_final: bool
    """Whether a retry is pointless, unlike after a lack of a route (RFC 1122, section 4.2.3.9)."""
    is_closed_port: bool
    """Whether the destination itself says that nothing listens at its port."""
    quoted: bytes
    """The first bytes of the datagram, as many as the message quotes of the first 64."""

    def as_os_error(self) -> OSError:
        """Return the error as a system call would raise it."""
        return OSError(self.code, os.strerror(self.code))


def is_about(quoted: bytes, sent: bytes) -> bool:
    """Return whether a quoted datagram belongs to a connection, by its latest datagram.

    :param sent: the first bytes of the latest datagram, `Engine.latest_sent`.
    """
    is_long = bool(sent and sent[0] & 0x80)
    size = _LONG_HEADER_BYTES if is_long else _SHORT_HEADER_BYTES
    return min(len(quoted), len(sent)) >= size and quoted[1:size] == sent[1:size]


def parse(
    quoted: bytes, ancillary: Sequence[tuple[int, int, bytes]], address: object
) -> IcmpError | None:
    """Return the ICMP error of an entry of the error queue, as recvmsg(2) returns it.

    Return None for an entry without one: for example, the kernel itself reports datagrams that are
    too large.
    """
    if not (isinstance(address, tuple) and len(address) >= 2):
        return None
    destination = Address.of(address)
    for level, kind, data in ancillary:
        if (level, kind) not in (
            (socket.IPPROTO_IP, _IP_RECVERR),
            (socket.IPPROTO_IPV6, _IPV6_RECVERR),
        ):
            continue
        if len(data) < _EXTENDED_ERROR.size:
            return None
        code, origin, icmp_type, icmp_code, *_ = _EXTENDED_ERROR.unpack_from(data)
        if origin == _ORIGIN_ICMP:
            is_unreachable = icmp_type == _UNREACHABLE4
            is_port, is_final = icmp_code == _PORT4, icmp_code in _FINAL4
        elif origin == _ORIGIN_ICMP6:
            is_unreachable = icmp_type == _UNREACHABLE6
            is_port, is_final = icmp_code == _PORT6, icmp_code in _FINAL6
        else:
            return None
        # A router in between may reject a port, too. Only the destination knows its processes.
        is_closed = is_port and _sender(data[_EXTENDED_ERROR.size :]) == destination.host
        return IcmpError(
            destination,
            code,
            is_final=is_unreachable and is_final,
            is_closed_port=is_unreachable and is_closed,
            quoted=quoted,
        )
    return None


def _sender(data: bytes) -> str | None:
    """Return the host in a struct sockaddr, in the spelling of `Address`."""
    family = int.from_bytes(data[:2], sys.byteorder)
    if family == socket.AF_INET and len(data) >= _ADDRESS4.size:
        packed = _ADDRESS4.unpack_from(data)[0]
    elif family == socket.AF_INET6 and len(data) >= _ADDRESS6.size:
        packed = _ADDRESS6.unpack_from(data)[0]
    else:
        return None
    return Address.of((socket.inet_ntop(family, packed), 0)).host


class ErrorQueue:
    """The ICMP errors of one socket. Without Linux, errors of system calls are all that is known.

    :param handle: called with each ICMP error.
    :param failed: called with errors of receiving where there is no queue.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        handle: Callable[[IcmpError], None],
        failed: Callable[[OSError], None],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._handle = handle
        self._failed = failed
        self._second = loop.time()
        self._count = 0
        self._pause: asyncio.TimerHandle | None = None
        self.is_supported = _ON_LINUX and self._enable(is_on=True)
        """Whether the kernel keeps such a queue."""

    def receive_failed(self, exc: OSError) -> None:
        """Handle an error of receiving: a pending error, whose cause is in the queue."""
        if self.is_supported:
            logger.debug("pending error: %s", exc)
            self.drain()
        else:
            self._failed(exc)

    def drain(self) -> None:
        """Read the queue. Call it when the socket is readable but has no datagram.

        The socket counts as readable until the queue is empty.
        """
        while self.is_supported and self._pause is None and self._sock.fileno() >= 0:
            try:
                quoted, ancillary, _, address = self._sock.recvmsg(
                    _QUOTED_BYTES, _ANCILLARY_BYTES, _MSG_ERRQUEUE
                )
            except OSError:  # EAGAIN: it is empty
                return
            self._count_one()
            error = parse(quoted, ancillary, address)
            if error is not None:
                self._handle(error)

    def close(self) -> None:
        """Stop reading. The owner closes the socket."""
        self.is_supported = False
        if self._pause is not None:
            self._pause.cancel()

    def _count_one(self) -> None:
        """Count an error, and pause if there are too many."""
        now = self._loop.time()
        if now >= self._second + 1:
            self._second = now
            self._count = 0
        self._count += 1
        if self._count >= ICMP_ERRORS_PER_SECOND:
            self._enable(is_on=False)  # the kernel empties the queue
            self._pause = self._loop.call_at(self._second + 1, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._enable(is_on=True)

    def _enable(self, *, is_on: bool) -> bool:
        """Switch the queue on or off; return whether the kernel has it.

        A socket for both families has a switch for each.
        """
        switches = [(socket.IPPROTO_IP, _IP_RECVERR)]
        if self._sock.family == socket.AF_INET6:
            switches.append((socket.IPPROTO_IPV6, _IPV6_RECVERR))
        done = False
        for level, option in switches:
            try:
                self._sock.setsockopt(level, option, int(is_on))
            except OSError as exc:
                logger.debug("no error queue: %s", exc)
            else:
                done = True
        return done
