"""The end that accepts links: many of them on one UDP socket, and a door that is guarded.

It begins new links within limits: on links, on those whose peer has not proven itself, and past
some of these, for addresses that were shown to be real. Datagrams find their link by the engine's
endpoint.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.config.addresses import HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.errors import SettingsError
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engines.selection import choose
from quictunnel.quic.link import STREAMS_AT_FIRST, Link
from quictunnel.quic.path import udp

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from quictunnel.quic.engine import Engine, IncomingConnection, ReceivedBatch
    from quictunnel.quic.engines.selection import EngineKind
    from quictunnel.quic.link_protocol import LinkProtocol
    from quictunnel.quic.settings import LinkSettings, ServerTls


class Listener:
    """Accepts links on one UDP address.

    :param protocol_factory: makes the `LinkProtocol` of each link.
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
        self._unproven: dict[Link, asyncio.TimerHandle | None] = {}
        self._closing = False
        self._closed = asyncio.Event()
        self.address = Address.of(sock.getsockname())
        """Where it listens."""
        self._endpoint = kind.endpoint(
            settings, server_tls=server_tls, streams=STREAMS_AT_FIRST, now=self._loop.time()
        )
        self._carriage = kind.carriage(
            self._endpoint,
            sock,
            peer=None,
            loop=self._loop,
            arrived=self._arrived,
            refused=_ignore,
            ready=self._ready,
        )

    # For the role

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Show another certificate to those who come from now on.

        :raises SettingsError: the engine cannot use such a key.
        """
        self._endpoint.set_certificate(server_tls)

    def close(self) -> None:
        """Accept no more; end what is left, and close the socket when the peers have been told."""
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
        self._carriage.close()
        self._closed.set()

    # What has come

    def _arrived(self, arrivals: ReceivedBatch) -> None:
        for engine in arrivals.touched:
            link = self._links.get(engine)
            if link is not None:
                link.batch_received()
        for newcomer in arrivals.newcomers:
            self._welcome(newcomer)
        self._carriage.answer()

    def _welcome(self, newcomer: IncomingConnection) -> None:
        """Begin a link for a newcomer, if there is room for one and its address is its own."""
        if (
            self._closing
            or len(self._links) >= self._settings.max_links
            or len(self._unproven) >= self._settings.max_unproven
        ):
            self._endpoint.ignore(newcomer)
            return
        now = self._loop.time()
        if len(self._unproven) >= self._settings.retry_above and not newcomer.is_validated:
            self._endpoint.retry(newcomer, now)
            return
        engine = self._endpoint.accept(newcomer, now)
        if engine is None:
            return
        link = Link(
            engine,
            self,
            self._protocol_factory(),
            local=self.address,
            dialled=False,
            loop=self._loop,
        )
        self._links[engine] = link
        self._unproven[link] = self._loop.call_later(
            self._settings.handshake_timeout, self._give_up, link
        )
        link.batch_received()

    def _give_up(self, link: Link) -> None:
        self._unproven[link] = None
        if not link.is_made:
            link.close(Code.HELLO_TIMEOUT)

    # For links: see `Carrier`

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self._carriage.is_full

    def transmit(self, link: Link, now: float) -> bool:
        """See `Carrier`."""
        return self._carriage.transmit(link.engine, now)

    def _ready(self) -> None:
        for link in tuple(self._links.values()):
            link.carrier_ready()

    def handshake_done(self, link: Link) -> bool:
        """See `Carrier`: who the peer is, the role finds out."""
        return True

    def proven(self, link: Link) -> None:
        """See `Carrier`."""
        timer = self._unproven.pop(link, None)
        if timer is not None:
            timer.cancel()

    def suspect(self, link: Link) -> None:
        """See `Carrier`: it is for the dialling end to move (RFC 9000, 9)."""

    def closed(self, link: Link) -> None:
        """See `Carrier`.

        Until it is terminated it takes the room of one without proof: or those who come only to
        be thrown out would never be asked for their address.
        """
        timer = self._unproven.get(link)
        if timer is not None:
            timer.cancel()
            self._unproven[link] = None

    def terminated(self, link: Link) -> None:
        """See `Carrier`."""
        self.proven(link)
        if self._links.pop(link.engine, None) is not None:
            self._endpoint.forget(link.engine)


def _ignore(exc: OSError) -> None:
    """An ICMP error that a listener hears of says nothing that a peer's silence would not."""


async def listen(
    host: str,
    port: int,
    *,
    protocol_factory: Callable[[], LinkProtocol],
    server_tls: ServerTls,
    settings: LinkSettings,
    sock: socket.socket | None = None,
) -> Listener:
    """Listen for links on a literal address; port 0 takes any free one.

    :param sock: a bound UDP socket to use in place of that address; closed with the listener.
    :raises SettingsError: the address is taken, or not ours; the engine that the settings ask for
        is not there, or cannot use the key.
    """
    kind = choose(settings.engine, settings.congestion)
    if sock is None:
        try:
            sock = udp.open_bound(host, port)
        except OSError as exc:
            raise listen_error("udp", HostPort(host, port), exc) from exc
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
