"""The UDP socket of aioquic's connections on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.quic.path.carried_addresses import is_carried
from quictunnel.quic.path.error_queue import ErrorQueue
from quictunnel.quic.path.socket_reader import SocketReader
from quictunnel.quic.path.udp import UdpSocket

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence

    from quictunnel.quic.engine import Datagram, Endpoint, Engine, Peer, ReceivedBatch
    from quictunnel.quic.path.error_queue import IcmpError


class AioquicEndpointSocket:
    """An endpoint's socket on the loop. Implements `quictunnel.quic.engine.EndpointSocket`.

    :param sock: it is closed by `close`.
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
        self._endpoint = endpoint
        self._socket = UdpSocket(sock, connected=peer is not None)
        self._loop = loop
        self._on_received = received
        self._on_send_error = send_error
        self._on_writable = writable
        self._on_carried = carried
        self._is_bound = peer is None
        self._waiting: list[Datagram] = []
        self._reader = SocketReader(sock, loop, self._readable)
        self._errors = ErrorQueue(sock, loop, handle=icmp_error, failed=send_error)

    @property
    def is_full(self) -> bool:
        """Whether the kernel's send buffer is full."""
        return bool(self._waiting)

    def transmit(self, engine: Engine, now: float) -> bool:
        """Send the datagrams of a connection; return whether there were any."""
        if datagrams := engine.transmit(now):
            self._send(self._without_carried(datagrams))
        return bool(datagrams)

    def answer(self) -> None:
        """Send the endpoint's own answers; drop them if the kernel's send buffer is full."""
        answers = self._without_carried(self._endpoint.transmit())
        if answers and not self._waiting:
            self._send(answers)

    def _without_carried(self, datagrams: Sequence[Datagram]) -> Sequence[Datagram]:
        """Hand over the datagrams for addresses of other paths than UDP, and return the rest.

        A connected socket sends to its peer, whatever address the connection uses for it.
        """
        if not self._is_bound:
            return datagrams
        carried = [each for each in datagrams if is_carried(each[1][0])]
        if not carried:
            return datagrams
        if self._on_carried is not None:
            self._on_carried(carried)
        return [each for each in datagrams if not is_carried(each[1][0])]

    def _send(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams. Those that the kernel does not take now are sent first when it does.

        Links send nothing while `is_full`, so little more than one link's datagrams waits here.
        """
        if not datagrams:
            return
        if self._waiting:
            self._waiting.extend(datagrams)
            return
        sent = self._socket.send(datagrams)
        if sent < len(datagrams):
            self._waiting.extend(datagrams[sent:])
            self._loop.add_writer(self._socket.fileno(), self._writable)
        self._report_error()

    def _report_error(self) -> None:
        error, self._socket.send_error = self._socket.send_error, None
        if error is not None:
            self._on_send_error(error)

    def accept_only(self, is_accepted: Callable[[str], bool] | None) -> None:
        """Drop datagrams of hosts that are not accepted."""
        self._socket.is_accepted = is_accepted

    def close(self) -> None:
        """Close the socket; the connections stay."""
        self._reader.close()
        self._loop.remove_writer(self._socket.fileno())
        self._waiting.clear()
        self._errors.close()
        self._socket.close()

    def _readable(self) -> None:
        try:
            datagrams = self._socket.receive()
        except OSError as exc:  # an ICMP message about an earlier datagram
            self._errors.receive_failed(exc)
            return
        batch = self._endpoint.receive(datagrams, self._loop.time())
        self._on_received(batch)
        if batch.is_empty:
            self._errors.drain()
            if self._socket.is_drained:
                self._reader.pause()

    def _writable(self) -> None:
        del self._waiting[: self._socket.send(self._waiting)]
        self._report_error()
        if not self._waiting:
            self._loop.remove_writer(self._socket.fileno())
            self._on_writable()
