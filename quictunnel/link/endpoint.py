"""The two ends of links: a listener that accepts them, and a dialler that makes one.

Both own a UDP socket, hand its datagrams to the right link and send what links have to say. The
listener also guards the door: caps on links, on those that have not proven themselves, and Retry.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed, Refused, SettingsError
from quictunnel.link import udp
from quictunnel.link.aioquic_engine import packets, tls
from quictunnel.link.aioquic_engine.connection import AioquicEngine
from quictunnel.link.engine import Path
from quictunnel.link.flow import Budget
from quictunnel.link.link import Link
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quictunnel.link.engine import Datagram
    from quictunnel.link.link import LinkProtocol
    from quictunnel.link.settings import ClientTls, LinkSettings, ServerTls

logger = logging.getLogger("quictunnel.link")

STREAMS_AT_FIRST = 16
"""Streams a peer may have open before it has proven who it is."""

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
        """Send; what the kernel does not take now is kept and sent first when it does."""
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
            self._carriage.send([(initial, path)])
            return None
        if initial is None or len(self._ids) >= self._settings.max_links:
            return None
        if len(self._unproven) >= self._settings.max_unproven:
            return None
        first_id, retry_id = initial.destination, None
        if initial.token or len(self._unproven) >= self._settings.retry_above:
            original = self._retries.check(initial, path, now) if initial.token else None
            if original is None:
                self._carriage.send([(self._retries.ask(initial, path, now), path)])
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

    def closed(self, link: Link) -> None:
        """See `Carrier`."""
        self.proven(link)

    def terminated(self, link: Link) -> None:
        """See `Carrier`."""
        self.proven(link)
        for connection_id in self._ids.pop(link, ()):
            self._links.pop(connection_id, None)


class Dialler:
    """Makes one link from a socket of its own."""

    def __init__(
        self,
        socket: udp.UdpSocket,
        peer: tuple[str, int],
        *,
        protocol: LinkProtocol,
        client_tls: ClientTls,
        settings: LinkSettings,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[None] = loop.create_future()
        """Done when the link stands, or with LinkFailed or Refused."""
        self._tls = client_tls
        self._path = Path(*peer)
        engine = AioquicEngine(
            tls.client_configuration(client_tls, settings),
            budget=Budget(settings.unread_limit),
            streams=STREAMS_AT_FIRST,
        )
        self._carriage = Carriage(
            socket, loop, take=self._take, refused=self._refused, ready=self._ready
        )
        self._loop = loop
        self._closed = False
        self.link = Link(
            engine,
            self,
            protocol,
            local=Address.of(socket.getsockname()),
            dialled=True,
            loop=loop,
        )
        engine.connect(self._path, loop.time())
        self.link.start()

    def _take(self, datagrams: list[Datagram]) -> None:
        now = self._loop.time()
        for data, _ in datagrams:
            self.link.datagram_received(data, self._path, now)
        self.link.batch_received()

    def _refused(self, exc: OSError) -> None:
        """Nobody listens there, or no route leads there: fail at once, if nothing stands yet."""
        if not self.made.done():
            reason = exc.strerror or str(exc)
            self.made.set_exception(LinkFailed(reason))
            self.link.close(Code.NO_ERROR)

    def _ready(self) -> None:
        self.link.carrier_ready()

    # For the link: see `Carrier`

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self._carriage.is_full

    def send(self, link: Link, datagrams: Sequence[Datagram]) -> None:
        """See `Carrier`."""
        self._carriage.send(datagrams)

    def id_issued(self, link: Link, connection_id: bytes) -> None:
        """See `Carrier`: there is but one link here."""

    def id_retired(self, link: Link, connection_id: bytes) -> None:
        """See `Carrier`."""

    def handshake_done(self, link: Link) -> bool:
        """See `Carrier`: hold the certificate against what was asked for."""
        reason = self._why_not_trusted(link)
        if reason is not None:
            if not self.made.done():
                self.made.set_exception(Refused(Code.BAD_CERTIFICATE, reason))
            link.close(Code.BAD_CERTIFICATE)
            return False
        if not self.made.done():
            self.made.set_result(None)
        return True

    def _why_not_trusted(self, link: Link) -> str | None:
        leaf = link.peer_certificate
        if leaf is None:
            return "the remote showed no certificate"
        if self._tls.pin is not None and tls.fingerprint(leaf) != self._tls.pin:
            return (
                "the remote's certificate is not the pinned one: it is "
                f"sha256:{tls.fingerprint(leaf).hex()}"
            )
        if self._tls.verify == "none":
            return None
        ca = self._tls.ca if self._tls.verify == "ca" else None
        reason = tls.verify(leaf, link.peer_chain, server_name=self._tls.server_name, ca=ca)
        return None if reason is None else f"the remote's certificate does not verify: {reason}"

    def proven(self, link: Link) -> None:
        """See `Carrier`: whom we dialled needs no door-keeper."""

    def closed(self, link: Link) -> None:
        """See `Carrier`: the peer has been told, or has told us; the socket is of no more use."""
        if not self.made.done():
            assert link.lost is not None
            self.made.set_exception(_why_failed(link.lost.code, link.lost.reason))
        self._loop.call_soon(link.terminate)

    def terminated(self, link: Link) -> None:
        """See `Carrier`."""
        if not self._closed:
            self._closed = True
            self._carriage.close()


def _why_failed(code: int | None, reason: str) -> LinkFailed | Refused:
    if tls.is_alpn_mismatch(reason):
        return Refused(
            Code.BAD_VERSION,
            "what answers there speaks QUIC, but is no quictunnel remote of this version",
        )
    return LinkFailed(f"the handshake failed: {reason or code}")


def _ignore(exc: OSError) -> None:
    """An ICMP error that a listener hears of says nothing that a peer's silence would not."""


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


async def dial(
    host: str,
    port: int,
    *,
    protocol: LinkProtocol,
    client_tls: ClientTls,
    settings: LinkSettings,
    within: float,
) -> Link:
    """Make a link to a literal address `within` so many seconds.

    :raises LinkFailed: no answer, nobody there, no route, or the handshake broke.
    :raises Refused: what answers is not what was asked for.
    """
    try:
        sock = udp.open_connected(host, port)
    except OSError as exc:
        raise LinkFailed(exc.strerror or str(exc)) from exc
    dialler = Dialler(
        udp.UdpSocket(sock, connected=True),
        (host, port),
        protocol=protocol,
        client_tls=client_tls,
        settings=settings,
    )
    try:
        async with asyncio.timeout(within):
            await dialler.made
    except TimeoutError:
        dialler.link.close(Code.NO_ERROR)
        raise LinkFailed(f"no answer within {within:g} s") from None
    except BaseException:
        dialler.link.close(Code.NO_ERROR)
        raise
    return dialler.link
