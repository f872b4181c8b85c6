"""Accepts links: many on one UDP socket, within limits.

The limits are on all links and on those whose peer has not proven itself. Above a number of
unproven links, new peers must show that they receive at their address (Retry).
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from quictunnel.config.addresses import HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, discard_event
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engines.selection import select
from quictunnel.quic.link import MAX_UNPROVEN_STREAMS, Link, LinkProtocol
from quictunnel.quic.path import udp

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.engine import Engine, IncomingConnection, ReceivedBatch
    from quictunnel.quic.engines.selection import EngineKind
    from quictunnel.quic.settings import LinkSettings, ServerTls


class Listener:
    """Accepts links on one UDP address.

    :param protocol_factory: creates the `LinkProtocol` of each link.
    """

    def __init__(
        self,
        kind: EngineKind,
        sock: socket.socket,
        *,
        protocol_factory: Callable[[], LinkProtocol],
        server_tls: ServerTls,
        settings: LinkSettings,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol_factory = protocol_factory
        self._settings = settings
        self._links: dict[Engine, Link] = {}
        self._unproven: set[Link] = set()
        self._handshake_timers: dict[Link, asyncio.TimerHandle] = {}
        self._closing = False
        self._closed = asyncio.Event()
        self.address = Address.of(sock.getsockname())
        """The UDP address."""
        self._endpoint = kind.endpoint(
            settings, server_tls=server_tls, streams=MAX_UNPROVEN_STREAMS, now=self._loop.time()
        )
        self._socket = kind.endpoint_socket(
            self._endpoint,
            sock,
            peer=None,
            loop=self._loop,
            received=self._on_received,
            send_error=_ignore_send_error,
            writable=self._on_writable,
        )

    # For the role

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Use another certificate for new connections.

        :raises SettingsError: the engine cannot use this key.
        """
        self._endpoint.set_certificate(server_tls)

    def close(self) -> None:
        """Stop accepting, close all links, and close the socket once the peers are notified."""
        if self._closing:
            return
        self._closing = True
        for link in tuple(self._links.values()):
            link.close(Code.GOODBYE)
        self._loop.call_soon(self._finish)

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        await self._closed.wait()

    def _finish(self) -> None:
        for link in tuple(self._links.values()):
            link.close(Code.GOODBYE)
            link.send_now()
            link.terminate()
        self._socket.close()
        self._closed.set()

    # The socket's callbacks

    def _on_received(self, batch: ReceivedBatch) -> None:
        for engine in batch.connections:
            link = self._links.get(engine)
            if link is not None:
                link.datagrams_received()
        for incoming in batch.incoming:
            self._accept(incoming)
        self._socket.answer()

    def _on_writable(self) -> None:
        for link in tuple(self._links.values()):
            link.socket_writable()

    def _accept(self, incoming: IncomingConnection) -> None:
        """Create a link if there is room for it, or answer with a Retry."""
        unproven = self._count_unproven()
        if (
            self._closing
            or len(self._links) >= self._settings.max_links
            or unproven >= self._settings.max_unproven
        ):
            self._endpoint.ignore(incoming)
            return
        now = self._loop.time()
        if unproven >= self._settings.retry_above and not incoming.is_validated:
            self._endpoint.retry(incoming, now)
            return
        engine = self._endpoint.accept(incoming, now)
        if engine is None:
            return
        link = Link(
            engine,
            self._socket,
            self,
            self._protocol_factory(),
            local=self.address,
            is_client=False,
            loop=self._loop,
        )
        self._links[engine] = link
        self._unproven.add(link)
        self._handshake_timers[link] = self._loop.call_later(
            self._settings.handshake_timeout, link.close, Code.HELLO_TIMEOUT
        )
        link.datagrams_received()

    def _count_unproven(self) -> int:
        """Return the number of links without proof.

        A closed link counts until it is terminated. Otherwise, peers that are rejected at once
        would never be asked for a Retry.
        """
        self._unproven = {link for link in self._unproven if not link.is_trusted}
        return len(self._unproven)

    # Called by links (`LinkOwner`)

    def handshake_completed(self, link: Link) -> bool:
        """Stop the handshake's timer. The role finds out who the peer is."""
        self._cancel_handshake_timer(link)
        return True

    def closed(self, link: Link) -> None:
        """Stop the handshake's timer."""
        self._cancel_handshake_timer(link)

    def terminated(self, link: Link) -> None:
        """Remove the link."""
        self._cancel_handshake_timer(link)
        self._unproven.discard(link)
        if self._links.pop(link.engine, None) is not None:
            self._endpoint.forget(link.engine)

    def _cancel_handshake_timer(self, link: Link) -> None:
        if (timer := self._handshake_timers.pop(link, None)) is not None:
            timer.cancel()


def _ignore_send_error(exc: OSError) -> None:
    """Ignore an ICMP error. The peer's silence tells a listener the same."""


async def listen(
    host: str,
    port: int,
    *,
    protocol_factory: Callable[[], LinkProtocol],
    server_tls: ServerTls,
    settings: LinkSettings,
    sock: socket.socket | None = None,
    emit: EventSink = discard_event,
) -> Listener:
    """Listen for links on an IP address.

    :param port: 0 for any free port.
    :param sock: a bound UDP socket to use instead of `host` and `port`; closed with the listener.
    :param emit: consumes `EngineSkipped`.
    :raises SettingsError: the address is in use or not this machine's, the socket is not a UDP
        socket, the selected engine is not available, or the engine cannot use the key.
    """
    kind = select(settings.engine, settings.congestion, emit)
    if sock is None:
        try:
            sock = udp.open_bound(host, port)
        except OSError as exc:
            raise listen_error("udp", HostPort(host, port), exc) from exc
    elif sock.type != socket.SOCK_DGRAM:
        raise SettingsError("the socket passed in for links is not a UDP socket")
    try:
        return Listener(
            kind,
            sock,
            protocol_factory=protocol_factory,
            server_tls=server_tls,
            settings=settings,
        )
    except SettingsError:
        sock.close()
        raise
