"""A quinn endpoint's socket on the event loop. The native module reads and writes in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.quic.engine import ReceivedBatch
from quictunnel.quic.engines.quinn.endpoint import QuinnEndpoint
from quictunnel.quic.path import udp
from quictunnel.quic.path.error_queue import ErrorQueue
from quictunnel.quic.path.socket_reader import SocketReader

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence

    from quictunnel.quic.engine import Datagram, Endpoint, Engine, Peer
    from quictunnel.quic.path.error_queue import IcmpError


class QuinnEndpointSocket:
    """An endpoint's socket on the loop. Implements `quictunnel.quic.engine.EndpointSocket`.

    :param sock: the socket. `close` closes it.
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
        icmp_error: Callable[[IcmpError], None],
        writable: Callable[[], None],
        carried: Callable[[Sequence[Datagram]], None] | None = None,
    ) -> None:
        assert isinstance(endpoint, QuinnEndpoint)
        self._native = endpoint.native
        self._qlog = endpoint.qlog
        self._socket = sock
        self._loop = loop
        self._on_received = received
        self._on_send_error = send_error
        self._on_writable = writable
        self._on_carried = carried
        self._is_full = False
        self._filtering: udp.UdpSocket | None = None
        """Reads the socket if some hosts are not accepted."""
        sock.setblocking(False)
        udp.request_buffers(sock)
        real, known_as = peer or (None, None)
        self._number = self._native.attach(sock.fileno(), real, known_as)
        self._reader = SocketReader(sock, loop, self._receive)
        self._errors = ErrorQueue(sock, loop, handle=icmp_error, failed=send_error)

    @property
    def is_full(self) -> bool:
        """The kernel's send buffer is full."""
        return self._is_full

    def transmit(self, engine: Engine, now: float) -> bool:
        """Send what a connection may send now. Return whether there was anything."""
        writes: int = engine.send(now)  # type: ignore[attr-defined]  # a native object
        if self._qlog is not None:
            self._qlog.collect()
        if writes:
            self._hand_over_carried()
            self._check_full()
            self._report_send_error()
        return writes > 0

    def answer(self) -> None:
        """Finish what the endpoint's own responses, sent on receipt, have begun."""
        self._hand_over_carried()
        self._check_full()

    def accept_only(self, is_accepted: Callable[[str], bool] | None) -> None:
        """Drop datagrams of hosts that are not accepted.

        The native module cannot do that, so the socket is read here. Measured on loopback, that
        costs a few percent more CPU time.
        """
        if is_accepted is None:
            self._filtering = None
            return
        self._filtering = udp.UdpSocket(self._socket, connected=False)
        self._filtering.is_accepted = is_accepted

    def close(self) -> None:
        """Close the socket."""
        self._reader.close()
        self._loop.remove_writer(self._socket.fileno())
        self._native.detach(self._number)
        self._errors.close()
        self._socket.close()

    def _hand_over_carried(self) -> None:
        """Pass on the datagrams that were sent to addresses of other paths than UDP."""
        carried = self._native.take_carried()
        if carried and self._on_carried is not None:
            self._on_carried(carried)

    def _check_full(self) -> None:
        if not self._is_full and self._native.is_full:
            self._is_full = True
            self._loop.add_writer(self._socket.fileno(), self._flush)

    def _report_send_error(self) -> None:
        error = self._native.take_send_error()
        if error is not None and udp.is_send_error(error):
            self._on_send_error(error)

    def _receive(self) -> None:
        now = self._loop.time()
        try:
            if self._filtering is None:
                connections, incoming, is_drained = self._native.receive_ready(now)
            else:
                connections, incoming = self._native.receive(self._filtering.receive(), now)
                is_drained = self._filtering.is_drained
        except OSError as exc:  # ICMP reports an error for an earlier datagram
            self._errors.receive_failed(exc)
            return
        if self._qlog is not None:
            self._qlog.collect()
        batch = ReceivedBatch(connections, incoming)
        self._on_received(batch)
        if batch.is_empty:
            self._errors.drain()
            if is_drained:
                self._reader.pause()

    def _flush(self) -> None:
        is_flushed = self._native.flush()
        self._report_send_error()
        if is_flushed:
            self._is_full = False
            self._loop.remove_writer(self._socket.fileno())
            self._on_writable()
