"""The end that accepts links: many of them on one UDP socket, and a door that is guarded.

It hands datagrams to the right link, and begins new ones within limits: on links, on those whose
peer has not proven itself, and past some of these, for addresses that were shown to be real.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.errors import SettingsError
from quictunnel.link import udp
from quictunnel.link.aioquic_engine import packets, tls
from quictunnel.link.aioquic_engine.connection import AioquicEngine
from quictunnel.link.carriage import Carriage
from quictunnel.link.flow import Budget
from quictunnel.link.link import STREAMS_AT_FIRST, Link
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quictunnel.link.engine import Datagram, Path
    from quictunnel.link.neighbours import LinkProtocol
    from quictunnel.link.settings import LinkSettings, ServerTls


class Listener:
    """Accepts links on one UDP address.

    :param protocol_factory: makes the `LinkProtocol` of each link.
    """

    def __init__(
        self,
        socket: udp.UdpSocket,
        *,
        protocol_factory: Callable[[], LinkProtocol],
        server_tls: ServerTls,
        settings: LinkSettings,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol_factory = protocol_factory
        self._tls = server_tls
        self._settings = settings
        self._budget = Budget(settings.unread_limit)
        self._links: dict[bytes, Link] = {}  # by connection id
        self._ids: dict[Link, set[bytes]] = {}
        self._unproven: dict[Link, asyncio.TimerHandle | None] = {}
        self._retries = packets.Retries()
        self._closing = False
        self._closed = asyncio.Event()
        self.address = Address.of(socket.getsockname())
        """Where it listens."""
        self._carriage = Carriage(
            socket, self._loop, take=self._take, refused=_ignore, ready=self._ready
        )

    # For the role

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Show another certificate to those who come from now on."""
        self._tls = server_tls

    def close(self) -> None:
        """Accept no more; end what is left, and close the socket when the peers have been told."""
        if self._closing:
            return
        self._closing = True
        for link in tuple(self._ids):
            link.close(Code.GOODBYE)
        self._loop.call_soon(self._finish)

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        await self._closed.wait()

    def _finish(self) -> None:
        for link in tuple(self._ids):
            link.close(Code.GOODBYE)
            link.send_now()
            link.terminate()
        self._carriage.close()
        self._closed.set()

    # Datagrams in

    def _take(self, datagrams: list[Datagram]) -> None:
        now = self._loop.time()
        touched: dict[Link, None] = {}
        for data, path in datagrams:
            link = self._route(data, path, now)
            if link is not None:
                link.datagram_received(data, path, now)
                touched[link] = None
        for link in touched:
            link.batch_received()

    def _route(self, data: bytes, path: Path, now: float) -> Link | None:
        connection_id = packets.destination(data)
        if connection_id is None:
            return None
        link = self._links.get(connection_id)
        if link is not None or self._closing:
            return link
        return self._welcome(data, path, now)

    def _welcome(self, data: bytes, path: Path, now: float) -> Link | None:
        """Begin a link for a newcomer, if there is room for one and its address is its own."""
        initial = packets.newcomer(data)
        if isinstance(initial, bytes):
            self._answer(initial, path)
            return None
        if initial is None or len(self._ids) >= self._settings.max_links:
            return None
        if len(self._unproven) >= self._settings.max_unproven:
            return None
        first_id, retry_id = initial.destination, None
        if initial.token or len(self._unproven) >= self._settings.retry_above:
            original = self._retries.check(initial, path, now) if initial.token else None
            if original is None:
                self._answer(self._retries.ask(initial, path, now), path)
                return None
            first_id, retry_id = original, initial.destination
        engine = AioquicEngine(
            tls.server_configuration(self._tls, self._settings),
            budget=self._budget,
            streams=STREAMS_AT_FIRST,
            original_destination_connection_id=first_id,
            retry_source_connection_id=retry_id,
        )
        link = Link(
            engine,
            self,
            self._protocol_factory(),
            local=self.address,
            dialled=False,
            loop=self._loop,
        )
        self._ids[link] = set()
        for connection_id in (initial.destination, *engine.connection_ids):
            self.id_issued(link, connection_id)
        self._unproven[link] = self._loop.call_later(
            self._settings.handshake_timeout, self._give_up, link
        )
        return link

    def _answer(self, data: bytes, path: Path) -> None:
        """Answer somebody who has no link, unless the kernel is busy with those who have."""
        if not self._carriage.is_full:
            self._carriage.send([(data, path)])

    def _give_up(self, link: Link) -> None:
        self._unproven[link] = None
        if not link.is_made:
            link.close(Code.HELLO_TIMEOUT)

    # For links: see `Carrier`

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self._carriage.is_full

    def send(self, link: Link, datagrams: Sequence[Datagram]) -> None:
        """See `Carrier`."""
        self._carriage.send(datagrams)

    def _ready(self) -> None:
        for link in tuple(self._ids):
            link.carrier_ready()

    def id_issued(self, link: Link, connection_id: bytes) -> None:
        """See `Carrier`."""
        self._links[connection_id] = link
        self._ids[link].add(connection_id)

    def id_retired(self, link: Link, connection_id: bytes) -> None:
        """See `Carrier`."""
        self._links.pop(connection_id, None)
        self._ids[link].discard(connection_id)

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
        for connection_id in self._ids.pop(link, ()):
            self._links.pop(connection_id, None)


def _ignore(exc: OSError) -> None:
    """An ICMP error that a listener hears of says nothing that a peer's silence would not."""


async def listen(
    host: str,
    port: int,
    *,
    protocol_factory: Callable[[], LinkProtocol],
    server_tls: ServerTls,
    settings: LinkSettings,
) -> Listener:
    """Listen for links on a literal address; port 0 takes any free one.

    :raises SettingsError: the address is taken, or not ours.
    """
    try:
        sock = udp.open_bound(host, port)
    except OSError as exc:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise SettingsError(f"cannot listen on udp {address}: {exc.strerror or exc}") from exc
    return Listener(
        udp.UdpSocket(sock, connected=False),
        protocol_factory=protocol_factory,
        server_tls=server_tls,
        settings=settings,
    )
