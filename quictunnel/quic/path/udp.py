"""A UDP socket that sends and receives many datagrams per system call where the kernel can.

Linux combines datagrams of one size and one destination: UDP_SEGMENT (GSO) splits one write into
many, UDP_GRO returns many in one read. Elsewhere each call moves one datagram.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

from quictunnel.protocol.address import literal, sockaddr_of
from quictunnel.quic.engine import Path
from quictunnel.quic.path.carried_addresses import is_carried
from quictunnel.quic.path.error_queue import PENDING_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quictunnel.quic.engine import Datagram

logger = logging.getLogger("quictunnel.quic.path.udp")
_link_logger = logging.getLogger("quictunnel.quic")
_buffer_warning_given = False

BUFFER_SIZE = 4 * 1024 * 1024
"""Bytes requested for each of the kernel's buffers: 20 ms at 1 Gbit/s, and some spare."""

SEGMENTS_MAX = 64
"""Datagrams per write. UDP_MAX_SEGMENTS was 64 before Linux 6.9."""

SEGMENTS_BYTES_MAX = 65_000
"""Bytes per write: the 65,535 of an IP packet without headers."""

BATCH = 64
"""Datagrams read per wake-up, so that acknowledgements leave and other callbacks run."""

ANCILLARY_SIZE = 256
"""Bytes for control messages: addresses, the segment size, and what the quinn engine asks for."""

_UDP_SEGMENT = 103  # linux/udp.h
_UDP_GRO = 104
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23  # linux/in.h, linux/in6.h
_PMTUDISC_PROBE = 3  # set DF; QUIC probes the MTU itself
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_IP_PKTINFO = 8
_ON_LINUX = sys.platform == "linux"

_U16 = struct.Struct("@H")
_INT = struct.Struct("@i")


class UdpSocket:
    """A bound or connected non-blocking UDP socket.

    :param sock: owned by this object from now on.
    """

    def __init__(self, sock: socket.socket, *, connected: bool) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._connected = connected
        self._is_ipv6 = sock.family == socket.AF_INET6
        self._buffer = bytearray(65_536)
        self._view = memoryview(self._buffer)
        self._segments = False
        self._has_pktinfo = False
        self.send_error: OSError | None = None
        """The last error that `is_send_error` accepts. The owner reads and clears it."""
        self.is_accepted: Callable[[str], bool] | None = None
        """Returns whether datagrams of a host are received. None if those of all hosts are."""
        self.is_drained = False
        """Whether the latest read has taken all datagrams that the kernel had."""
        request_buffers(sock)
        if _ON_LINUX:
            self._set_linux_options(sock)

    def _set_linux_options(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # before Linux 5.0: one datagram per read
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        with contextlib.suppress(OSError):  # before Linux 4.18: one datagram per write
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
            self._segments = True
        forbid_fragmentation(sock)  # otherwise the kernel limits the size of MTU probes
        if not self._connected:
            with contextlib.suppress(
                OSError
            ):  # otherwise answers leave from the address of the route
                if self._is_ipv6:
                    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
                else:
                    sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                self._has_pktinfo = True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._sock.fileno()

    def getsockname(self) -> tuple[str, int]:
        """Return the local address."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def receive(self) -> list[Datagram]:
        """Return the received datagrams, at most about `BATCH`.

        :raises OSError: a pending error of an earlier send, such as an ICMP port unreachable.
        """
        self.is_drained = False
        datagrams: list[Datagram] = []
        for _ in range(BATCH):
            if len(datagrams) >= BATCH:
                break
            try:
                size, ancillary, _, peer = self._sock.recvmsg_into([self._view], ANCILLARY_SIZE)
            except (BlockingIOError, InterruptedError):
                self.is_drained = True
                break
            except OSError:
                if datagrams:
                    break  # datagrams prove that the error has passed
                raise
            path, segment = self._parse_ancillary(ancillary, peer, size)
            if not self._connected and is_carried(path.host):
                continue  # forged: the engine would take it for a datagram of that path
            if self.is_accepted is not None and not self.is_accepted(path.host):
                continue
            datagrams += [
                (bytes(self._view[start : min(start + segment, size)]), path)
                for start in range(0, max(size, 1), segment)
            ]
        return datagrams

    def _parse_ancillary(
        self, ancillary: list[tuple[int, int, bytes]], peer: tuple[Any, ...], size: int
    ) -> tuple[Path, int]:
        """Return the path, and the size of each segment, of a read."""
        segment = size
        local = b""
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_UDP and kind == _UDP_GRO:
                segment = _INT.unpack_from(data)[0]
            elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                local = bytes(data[:16])
            elif level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                local = bytes(data[8:12])  # in_pktinfo: interface, spec_dst, addr
        return Path(literal(peer), peer[1], local), max(segment, 1)

    def send(self, datagrams: Sequence[Datagram]) -> int:
        """Send datagrams in order. Return how many were sent: fewer if the kernel's buffer is full.

        Datagrams that the network refuses (unreachable, too large) count as sent. See `send_error`.
        """
        done = 0
        while done < len(datagrams):
            count, size = self._run(datagrams, done)
            run = datagrams[done : done + count]
            try:
                self._send_run([data for data, _ in run], run[0][1], size)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                if exc.errno == errno.ENOBUFS:
                    break
                if count > 1:
                    # The device does not support GSO (EIO), or the datagrams are too large now.
                    self._segments = exc.errno != errno.EIO
                    self._send_singly(run)
                else:
                    self._record(exc)
            done += count
        return done

    def _run(self, datagrams: Sequence[Datagram], start: int) -> tuple[int, int]:
        """Return how many datagrams from `start` fit one write, and their size.

        All have the same size, except that the last may be shorter.
        """
        first, path = datagrams[start]
        size = len(first)
        if not self._segments:
            return 1, size
        most = min(SEGMENTS_MAX, SEGMENTS_BYTES_MAX // size, len(datagrams) - start)
        count = 1
        while count < most:
            data, other = datagrams[start + count]
            if len(data) > size or (other is not path and other != path):
                break
            count += 1
            if len(data) < size:
                break
        return max(count, 1), size

    def _send_singly(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams one by one. Those that fail are lost."""
        for data, path in datagrams:
            try:
                self._send_run([data], path, len(data))
            except OSError as exc:
                self._record(exc)

    def _record(self, exc: OSError) -> None:
        logger.debug("datagram not sent: %s", exc)
        if is_send_error(exc):
            self.send_error = exc

    def _send_run(self, buffers: list[bytes], path: tuple[str, int, bytes], size: int) -> None:
        ancillary = []
        if len(buffers) > 1:
            ancillary.append((socket.IPPROTO_UDP, _UDP_SEGMENT, _U16.pack(size)))
        if self._connected:
            self._write(buffers, ancillary)
            return
        host, port, local = path
        if local and self._has_pktinfo:
            if self._is_ipv6:
                ancillary.append((socket.IPPROTO_IPV6, _IPV6_PKTINFO, local + bytes(4)))
            else:
                ancillary.append((socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + local + bytes(4)))
        self._write(buffers, ancillary, 0, sockaddr_of(host, port))

    def _write(self, buffers: list[bytes], *arguments: Any) -> None:  # noqa: ANN401 - of sendmsg
        """Call sendmsg, again if it reports a pending error of an earlier datagram."""
        try:
            self._sock.sendmsg(buffers, *arguments)
        except OSError as exc:
            is_probe = exc.errno == errno.EMSGSIZE and len(buffers) == 1
            if not _ON_LINUX or not (exc.errno in PENDING_ERRORS or is_probe):
                raise
            self._sock.sendmsg(buffers, *arguments)


def is_send_error(exc: OSError) -> bool:
    """Return whether an error says that this end cannot send.

    EMSGSIZE is usually about an MTU probe. On Linux, ECONNREFUSED is only about earlier datagrams,
    and the error queue has it.
    """
    return exc.errno != errno.EMSGSIZE and not (_ON_LINUX and exc.errno == errno.ECONNREFUSED)


def forbid_fragmentation(sock: socket.socket) -> None:
    """Let a socket send datagrams of any size, and let no router fragment them, where possible."""
    if not _ON_LINUX:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    if sock.family == socket.AF_INET6:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)


def request_buffers(sock: socket.socket) -> None:
    """Request large buffers. If the kernel grants less, log how to raise its limit."""
    receive, _ = granted_buffers(sock)
    _warn_about_buffers(receive)


def granted_buffers(sock: socket.socket) -> tuple[int, int]:
    """Request large buffers; return the bytes granted for receiving and for sending."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with contextlib.suppress(OSError):  # some systems refuse a size above their limit
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
    receive, send = (
        sock.getsockopt(socket.SOL_SOCKET, option)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF)
    )
    return (receive // 2, send // 2) if _ON_LINUX else (receive, send)  # Linux adds its overhead


def offloads(sock: socket.socket) -> tuple[bool, bool]:
    """Return whether the kernel sends, and receives, many datagrams per call (GSO and GRO)."""
    supported = []
    for option, value in ((_UDP_SEGMENT, 0), (_UDP_GRO, 1)):
        try:
            sock.setsockopt(socket.IPPROTO_UDP, option, value)
        except OSError:
            supported.append(False)
        else:
            supported.append(_ON_LINUX)
    return supported[0], supported[1]


def _warn_about_buffers(granted: int) -> None:
    global _buffer_warning_given  # noqa: PLW0603 - warn once per process
    if granted < BUFFER_SIZE and not _buffer_warning_given:
        _buffer_warning_given = True
        _link_logger.warning(
            "UDP receive buffer is %d KiB, %d KiB were requested; fast links need: "
            "sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d",
            granted // 1024,
            BUFFER_SIZE // 1024,
            BUFFER_SIZE,
            BUFFER_SIZE,
        )


def open_bound(host: str, port: int) -> socket.socket:
    """Return a UDP socket bound to an IP address. `::` accepts IPv4 as well where possible.

    :raises OSError: the address is in use, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            with contextlib.suppress(OSError):  # OpenBSD has no dual-stack sockets
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.bind(sockaddr_of(host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def open_connected(host: str, port: int) -> socket.socket:
    """Return a UDP socket connected to an IP address.

    :raises OSError: there is no route to it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.connect(sockaddr_of(host, port))
    except BaseException:
        sock.close()
        raise
    return sock
