"""A UDP socket on the event loop: datagrams in, datagrams out, and what could not go yet."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from quictunnel.link import udp

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from quictunnel.link.engine import Datagram

logger = logging.getLogger("quictunnel.link")

_buffer_hint_given = False


class Carriage:
    """A UDP socket on the event loop: datagrams in, datagrams out, and what could not go yet."""

    def __init__(
        self,
        socket: udp.UdpSocket,
        loop: asyncio.AbstractEventLoop,
        *,
        take: Callable[[list[Datagram]], None],
        refused: Callable[[OSError], None],
        ready: Callable[[], None],
    ) -> None:
        self.socket = socket
        self._loop = loop
        self._take = take
        self._refused = refused
        self._ready = ready
        self._waiting: list[Datagram] = []
        loop.add_reader(socket.fileno(), self._readable)
        _hint_at_buffers(socket.granted)

    @property
    def is_full(self) -> bool:
        """The kernel takes no more for the moment."""
        return bool(self._waiting)

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Send; what the kernel does not take now is kept and sent first when it does.

        Links hold back while `is_full`, so what is kept is one link's turn and little more.
        """
        if self._waiting:
            self._waiting.extend(datagrams)
            return
        sent = self.socket.send(datagrams)
        if sent < len(datagrams):
            self._waiting.extend(datagrams[sent:])
            self._loop.add_writer(self.socket.fileno(), self._writable)

    def close(self) -> None:
        """Let go of the socket."""
        self._loop.remove_reader(self.socket.fileno())
        self._loop.remove_writer(self.socket.fileno())
        self._waiting.clear()
        self.socket.close()

    def _readable(self) -> None:
        try:
            datagrams = self.socket.receive()
        except OSError as exc:  # word of an earlier datagram of ours, by ICMP
            self._refused(exc)
            return
        if datagrams:
            self._take(datagrams)

    def _writable(self) -> None:
        del self._waiting[: self.socket.send(self._waiting)]
        if not self._waiting:
            self._loop.remove_writer(self.socket.fileno())
            self._ready()


def _hint_at_buffers(granted: int) -> None:
    global _buffer_hint_given  # noqa: PLW0603 - once a process is often enough
    if granted < udp.BUFFER_SIZE and not _buffer_hint_given:
        _buffer_hint_given = True
        logger.warning(
            "the kernel grants %d KiB of UDP receive buffer where %d KiB were asked for; for fast "
            "links: sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d",
            granted // 1024,
            udp.BUFFER_SIZE // 1024,
            udp.BUFFER_SIZE,
            udp.BUFFER_SIZE,
        )
