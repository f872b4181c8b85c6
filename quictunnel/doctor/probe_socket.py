"""Sends version probes to one address, and notes the answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from quictunnel.protocol.address import sockaddr_of
from quictunnel.quic.path.udp import forbid_fragmentation, open_connected
from quictunnel.quic.path.version_probe import ID_SIZE, decode_answer, encode, encode_small

BATCH = 64
"""Datagrams read per wake-up."""

_TRANSIENT = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EINTR})


@dataclass(eq=False, slots=True)
class SentProbe:
    """A probe that was sent."""

    size: int
    """Bytes of its UDP payload."""
    sent_at: float
    """When it was sent, on the event loop's clock."""
    answered_at: float | None = None
    """When the answer came; None if none has come."""

    @property
    def round_trip(self) -> float | None:
        """The seconds from the probe to its answer."""
        return None if self.answered_at is None else self.answered_at - self.sent_at


class ProbeSocket:
    """A socket that is connected to one address of the remote. Packets are never fragmented.

    :raises OSError: there is no route.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.probes: list[SentProbe] = []
        """All probes that were sent."""
        self.error: OSError | None = None
        """The last error of the system or of an ICMP message, except about a packet's size."""
        self.too_large: set[int] = set()
        """Sizes that the system, or an ICMP message after them, has called too large."""
        self.versions: list[int] = []
        """The versions of QUIC that the server speaks, once it has answered."""
        self.has_small_answer = False
        """Whether a packet came that answers no probe, such as a stateless reset."""
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[bytes, SentProbe] = {}
        self._answered = asyncio.Event()
        self._sock = open_connected(host, port)
        self._sock.setblocking(False)
        forbid_fragmentation(self._sock)
        self._loop.add_reader(self._sock.fileno(), self._receive)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    @property
    def answers(self) -> list[SentProbe]:
        """The probes that were answered."""
        return [probe for probe in self.probes if probe.answered_at is not None]

    def send(self, size: int) -> None:
        """Send a probe of this size, in bytes."""
        identification = secrets.token_bytes(ID_SIZE)
        probe = SentProbe(size, self._loop.time())
        if self._send(encode(identification, size)):
            self._waiting[identification] = probe
            self.probes.append(probe)

    def send_small(self) -> None:
        """Send a packet that is far smaller than a probe, and that a remote answers too."""
        self._send(encode_small())

    async def wait_for_answer(self, within: float) -> bool:
        """Wait some seconds for the first answer; return whether it has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._answered.wait()
        return self._answered.is_set()

    def _send(self, data: bytes) -> bool:
        """Send a datagram; return whether it counts as sent."""
        for _ in range(2):  # the first call may report an earlier datagram's ICMP message
            try:
                self._sock.send(data)
            except OSError as exc:
                if exc.errno in _TRANSIENT:
                    return False
                self._note(exc, len(data))
            else:
                return True
        return False

    def _receive(self) -> None:
        for _ in range(BATCH):
            try:
                data = self._sock.recv(2048)
            except OSError as exc:
                if exc.errno in _TRANSIENT:
                    return
                self._note(exc, None)
                continue
            self._handle(data)

    def _handle(self, data: bytes) -> None:
        answer = decode_answer(data)
        if answer is None:
            self.has_small_answer = True
            return
        identification, versions = answer
        probe = self._waiting.pop(identification, None)
        if probe is not None:
            probe.answered_at = self._loop.time()
            self.versions = versions
            self._answered.set()

    def _note(self, exc: OSError, size: int | None) -> None:
        """Note an error of the system.

        :param size: the bytes of the datagram that it is about, if that is known.
        """
        if exc.errno != errno.EMSGSIZE:
            self.error = exc
        elif size is not None:
            self.too_large.add(size)
        elif self.probes:
            self.too_large.add(max(probe.size for probe in self._waiting.values() or self.probes))


@contextlib.contextmanager
def probing(host: str, port: int) -> Iterator[ProbeSocket]:
    """Provide a socket for probes.

    :raises OSError: there is no route.
    """
    probes = ProbeSocket(host, port)
    try:
        yield probes
    finally:
        probes.close()


async def tcp_answers(host: str, port: int, within: float) -> bool | None:
    """Try to connect over TCP: return whether a server accepts; None if nothing answers in time.

    A refusal is an answer too: the machine is there, and the network carries TCP.

    :param within: seconds. Below one second, the SYN is sent only once (RFC 6298, section 2).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    loop = asyncio.get_running_loop()
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(within):
                await loop.sock_connect(sock, sockaddr_of(host, port))
        except ConnectionRefusedError:
            return False
        except (TimeoutError, OSError):
            return None
    return True
