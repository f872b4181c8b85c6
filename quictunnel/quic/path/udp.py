"""A UDP socket that moves many datagrams a system call, where the kernel can. No QUIC, no asyncio.

Linux joins datagrams of one size to one destination: UDP_SEGMENT cuts one write into many (GSO),
UDP_GRO hands many to one read. Elsewhere the same calls move them one at a time.
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.quic.engine import Datagram

logger = logging.getLogger("quictunnel.quic.path.udp")
_link_logger = logging.getLogger("quictunnel.quic")
_buffer_hint_given = False

BUFFER_SIZE = 4 * 1024 * 1024
"""Bytes asked of the kernel for either direction: 20 ms at a gigabit and some to spare."""

SEGMENTS_MAX = 64
"""Datagrams in one write (the kernel's UDP_MAX_SEGMENTS was 64 before Linux 6.9)."""

SEGMENTS_BYTES_MAX = 65_000
"""Bytes in one write: an IP packet's 65,535 less the headers."""

BATCH = 64
"""Datagrams after which a wake-up reads no more: acknowledgements leave, and others have a turn."""

_UDP_SEGMENT = 103  # linux/udp.h
_UDP_GRO = 104
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23  # linux/in.h, linux/in6.h
_PMTUDISC_PROBE = 3  # set DF, and leave the finding of the MTU to us
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_IP_PKTINFO = 8
_ON_LINUX = sys.platform == "linux"

_U16 = struct.Struct("@H")
_INT = struct.Struct("@i")


class UdpSocket:
    """A bound, or connected, UDP socket that never blocks.

    :param sock: is taken over and closed by `close`.
    """

    def __init__(self, sock: socket.socket, *, connected: bool) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._connected = connected
        self._is_ipv6 = sock.family == socket.AF_INET6
        self._buffer = bytearray(65_536)
        self._view = memoryview(self._buffer)
        self._segments = False
        self._tell_local = False
        self.trouble: OSError | None = None
        """The last refusal to send, for its owner to take; not that a datagram is too large."""
        ask_for_buffers(sock)
        if _ON_LINUX:
            self._set_linux_options(sock)

    def _set_linux_options(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # older than 5.0: one datagram a read
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        with contextlib.suppress(OSError):  # older than 4.18: one datagram a write
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
            self._segments = True
        with contextlib.suppress(OSError):  # the kernel's own discovery stays on: probes are cut
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
        if self._is_ipv6:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        if not self._connected:
            with contextlib.suppress(OSError):  # answers then leave from the route's address
                if self._is_ipv6:
                    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
                else:
                    sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                self._tell_local = True

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        return self._sock.fileno()

    def getsockname(self) -> tuple[str, int]:
        """Return the address that it is bound to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def receive(self) -> list[Datagram]:
        """Return what has come, possibly nothing.

        :raises OSError: what the kernel reports of earlier sending (a connected socket's refusals).
        """
        datagrams: list[Datagram] = []
        while len(datagrams) < BATCH:
            try:
                size, notes, _, peer = self._sock.recvmsg_into([self._view], 128)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                if datagrams:
                    break  # they prove that what the error says is over
                raise
            path, segment = self._read_notes(notes, peer, size)
            datagrams += [
                (bytes(self._view[start : min(start + segment, size)]), path)
                for start in range(0, max(size, 1), segment)
            ]
        return datagrams

    def _read_notes(
        self, notes: list[tuple[int, int, bytes]], peer: tuple[Any, ...], size: int
    ) -> tuple[Path, int]:
        """Return the path and the size of each segment of what was read."""
        segment = size
        local = b""
        for level, kind, data in notes:
            if level == socket.IPPROTO_UDP and kind == _UDP_GRO:
                segment = _INT.unpack_from(data)[0]
            elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                local = bytes(data[:16])
            elif level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                local = bytes(data[8:12])  # in_pktinfo: interface, spec_dst, addr
        return Path(literal(peer), peer[1], local), max(segment, 1)

    def send(self, datagrams: Sequence[Datagram]) -> int:
        """Send datagrams in order and return how many went; fewer when the kernel's buffer is full.

        What the network refuses (unreachable, too large) counts as sent: datagrams may get lost.
        See `trouble`.
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
                    # A device that cannot (EIO), or a size that the way has ceased to take.
                    self._segments = exc.errno != errno.EIO
                    self._send_singly(run)
                else:
                    self._note(exc)
            done += count
        return done

    def _run(self, datagrams: Sequence[Datagram], start: int) -> tuple[int, int]:
        """Return how many datagrams from `start` on can go in one write, and their size.

        All but the last must be of one size, the last may be shorter.
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
        """Send what could not be joined; what fails now is lost, as on any network."""
        for data, path in datagrams:
            try:
                self._send_run([data], path, len(data))
            except OSError as exc:
                self._note(exc)

    def _note(self, exc: OSError) -> None:
        logger.debug("datagram not sent: %s", exc)
        if exc.errno != errno.EMSGSIZE:  # a probe of the MTU, mostly
            self.trouble = exc

    def _send_run(self, buffers: list[bytes], path: tuple[str, int, bytes], size: int) -> None:
        notes = []
        if len(buffers) > 1:
            notes.append((socket.IPPROTO_UDP, _UDP_SEGMENT, _U16.pack(size)))
        if self._connected:
            self._sock.sendmsg(buffers, notes)
            return
        host, port, local = path
        if local and self._tell_local:
            if self._is_ipv6:
                notes.append((socket.IPPROTO_IPV6, _IPV6_PKTINFO, local + bytes(4)))
            else:
                notes.append((socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + local + bytes(4)))
        self._sock.sendmsg(buffers, notes, 0, sockaddr_of(host, port))


def ask_for_buffers(sock: socket.socket) -> None:
    """Ask for large buffers, and say how to have them where the kernel grants less."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with contextlib.suppress(OSError):  # some systems refuse instead of granting less
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    _hint_at_buffers(granted // 2 if _ON_LINUX else granted)  # Linux counts its book-keeping in


def _hint_at_buffers(granted: int) -> None:
    global _buffer_hint_given  # noqa: PLW0603 - once a process is often enough
    if granted < BUFFER_SIZE and not _buffer_hint_given:
        _buffer_hint_given = True
        _link_logger.warning(
            "the kernel grants %d KiB of UDP receive buffer where %d KiB were asked for; for fast "
            "links: sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d",
            granted // 1024,
            BUFFER_SIZE // 1024,
            BUFFER_SIZE,
            BUFFER_SIZE,
        )


def open_bound(host: str, port: int) -> socket.socket:
    """Return a UDP socket bound to a literal address; `::` takes IPv4 as well where it can.

    :raises OSError: the address is taken, or not ours.
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
    """Return a UDP socket connected to a literal address.

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
