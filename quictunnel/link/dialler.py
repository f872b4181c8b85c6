"""The end that makes a link: one socket, one handshake, one look at the certificate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed, Refused
from quictunnel.link import udp
from quictunnel.link.aioquic_engine import tls
from quictunnel.link.aioquic_engine.connection import AioquicEngine
from quictunnel.link.carriage import Carriage
from quictunnel.link.engine import Path
from quictunnel.link.flow import Budget
from quictunnel.link.link import STREAMS_AT_FIRST, Link
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quictunnel.link.engine import Datagram
    from quictunnel.link.neighbours import LinkProtocol
    from quictunnel.link.settings import ClientTls, LinkSettings


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
        self._peer = peer
        self._path = Path(*peer)  # the engine's view of it, whatever socket leads there
        engine = AioquicEngine(
            tls.client_configuration(client_tls, settings),
            budget=Budget(settings.unread_limit),
            streams=STREAMS_AT_FIRST,
        )
        self._loop = loop
        self._carriage = self._carry(socket)
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

    def suspect(self, link: Link) -> None:
        """See `Carrier`: go on from a new socket, which takes the route and address of now.

        One that is bound to an address that this machine no longer has can only be given up.
        """
        try:
            socket = udp.open_connected(*self._peer)
        except OSError:
            return  # no route at all: the next question tries again
        self._carriage.close()
        self._carriage = self._carry(udp.UdpSocket(socket, connected=True))
        link.move(Address.of(socket.getsockname()))

    def _carry(self, socket: udp.UdpSocket) -> Carriage:
        return Carriage(
            socket, self._loop, take=self._take, refused=self._refused, ready=self._ready
        )

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
    except BaseException as exc:
        dialler.link.close(Code.NO_ERROR)
        await dialler.link.wait_closed()  # at once: the peer is told, the socket is closed
        if isinstance(exc, TimeoutError):
            raise LinkFailed(f"no answer within {within:g} s") from None
        raise
    return dialler.link
