"""quinn's socket on the event loop: the module reads and writes it, many datagrams a call."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from quictunnel.quic.engine import ReceivedBatch
from quictunnel.quic.engines.quinn.endpoint import QuinnEndpoint
from quictunnel.quic.path import udp

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from quictunnel.quic.engine import Endpoint, Engine, Peer


class QuinnEndpointSocket:
    """An endpoint's socket on the loop. Implements `quictunnel.quic.engine.EndpointSocket`.

    :param sock: is taken over and closed by `close`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sock: socket.socket,
        *,
        peer: Peer | None,
        loop: asyncio.AbstractEventLoop,
        received: Callable[[ReceivedBatch], None],
        send_error: Callable[[OSError], None],
        writable: Callable[[], None],
    ) -> None:
        assert isinstance(endpoint, QuinnEndpoint)
        self._native = endpoint.native
        self._socket = sock
        self._loop = loop
        self._on_received = received
        self._on_send_error = send_error
        self._on_writable = writable
        self._waits = False  # for the kernel to take more
        sock.setblocking(False)
        udp.request_buffers(sock)
        real, known_as = peer or (None, None)
        self._number = self._native.attach(sock.fileno(), real, known_as)
        loop.add_reader(sock.fileno(), self._readable)

    @property
    def is_full(self) -> bool:
        """The kernel takes no more for the moment."""
        return self._waits

    def transmit(self, engine: Engine, now: float) -> bool:
        """Send what a connection has to send; return whether there was anything."""
        sent: int = engine.send(now)  # type: ignore[attr-defined]  # it is one of the endpoint's
        if sent:
            if self._native.is_full:
                self._wait()
            self._tell_trouble()
        return sent > 0

    def answer(self) -> None:
        """See that the endpoint's own answers leave, which the module has sent by itself."""
        if not self._waits and self._native.is_full:
            self._wait()

    def close(self) -> None:
        """Let go of the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._native.detach(self._number)
        self._socket.close()

    def _wait(self) -> None:
        self._waits = True
        self._loop.add_writer(self._socket.fileno(), self._writable)

    def _tell_trouble(self) -> None:
        trouble = self._native.take_trouble()
        if trouble is not None and trouble.errno != errno.EMSGSIZE:  # a probe of the MTU, mostly
            self._on_send_error(trouble)

    def _readable(self) -> None:
        try:
            arrivals = self._native.receive_ready(self._loop.time())
        except OSError as exc:  # word of an earlier datagram of ours, by ICMP
            self._on_send_error(exc)
            return
        self._on_received(ReceivedBatch(*arrivals))

    def _writable(self) -> None:
        is_free = self._native.flush()
        self._tell_trouble()
        if is_free:
            self._waits = False
            self._loop.remove_writer(self._socket.fileno())
            self._on_writable()
