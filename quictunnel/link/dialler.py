"""The end that makes a link: one socket, one handshake, one look at the certificate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed, Refused
from quictunnel.link import udp
from quictunnel.link.certificates import fingerprint, verify
from quictunnel.link.engines import choose
from quictunnel.link.link import STREAMS_AT_FIRST, Link
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code

if TYPE_CHECKING:
    import socket

    from quictunnel.link.engine import Arrivals, Carriage
    from quictunnel.link.engines import EngineKind
    from quictunnel.link.neighbours import LinkProtocol
    from quictunnel.link.settings import ClientTls, LinkSettings


class Dialler:
    """Makes one link from a socket of its own."""

    def __init__(
        self,
        kind: EngineKind,
        sock: socket.socket,
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
        self._loop = loop
        self._kind = kind
        self._endpoint = kind.endpoint(
            settings, server_tls=None, streams=STREAMS_AT_FIRST, now=loop.time()
        )
        engine = self._endpoint.connect(peer, client_tls.server_name, loop.time())
        local = Address.of(sock.getsockname())
        self._carriage = self._carry(sock)
        self._closed = False
        self.link = Link(engine, self, protocol, local=local, dialled=True, loop=loop)
        self.link.start()

    def _arrived(self, arrivals: Arrivals) -> None:
        if arrivals.touched:
            self.link.batch_received()

    def _refused(self, exc: OSError) -> None:
        """Nobody listens there, or no route leads there: fail at once, if nothing stands yet."""
        if not self.made.done():
            failed = LinkFailed(exc.strerror or str(exc))
            failed.__cause__ = exc
            self.made.set_exception(failed)
            self.link.close(Code.NO_ERROR)

    def _ready(self) -> None:
        self.link.carrier_ready()

    # For the link: see `Carrier`

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self._carriage.is_full

    def transmit(self, link: Link, now: float) -> bool:
        """See `Carrier`."""
        return self._carriage.transmit(link.engine, now)

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
        try:
            leaf, *chain = link.peer_certificates or (None,)
        except ValueError:
            return "the remote's certificate cannot be read"
        if leaf is None:
            return "the remote showed no certificate"
        if self._tls.pin is not None and fingerprint(leaf) != self._tls.pin:
            return (
                "the remote's certificate is not the pinned one: it is "
                f"sha256:{fingerprint(leaf).hex()}"
            )
        if self._tls.verify == "none":
            return None
        ca = self._tls.ca if self._tls.verify == "ca" else None
        reason = verify(leaf, chain, server_name=self._tls.server_name, ca=ca)
        return None if reason is None else f"the remote's certificate does not verify: {reason}"

    def suspect(self, link: Link) -> None:
        """See `Carrier`: go on from a new socket, which takes the route and address of now.

        One that is bound to an address that this machine no longer has can only be given up.
        """
        try:
            sock = udp.open_connected(*self._peer)
        except OSError:
            return  # no route at all: the next question tries again
        local = Address.of(sock.getsockname())
        self._carriage.close()
        self._carriage = self._carry(sock)
        link.move(local)

    def _carry(self, sock: socket.socket) -> Carriage:
        return self._kind.carriage(
            self._endpoint,
            sock,
            connected=True,
            loop=self._loop,
            arrived=self._arrived,
            refused=self._refused,
            ready=self._ready,
        )

    def proven(self, link: Link) -> None:
        """See `Carrier`: whom we dialled needs no door-keeper."""

    def closed(self, link: Link) -> None:
        """See `Carrier`: the peer has been told, or has told us; the socket is of no more use."""
        if not self.made.done():
            self.made.set_exception(_why_failed(link))
        self._loop.call_soon(link.terminate)

    def terminated(self, link: Link) -> None:
        """See `Carrier`."""
        if not self._closed:
            self._closed = True
            self._carriage.close()


def _why_failed(link: Link) -> LinkFailed | Refused:
    if link.engine.alpn_mismatch:
        return Refused(
            Code.BAD_VERSION,
            "what answers there speaks QUIC, but is no quictunnel remote of this version",
        )
    assert link.lost is not None
    return LinkFailed(f"the handshake failed: {link.lost.reason or link.lost.code}")


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
    :raises SettingsError: the engine that the settings ask for is not there.
    """
    kind = choose(settings.engine, settings.congestion)
    try:
        sock = udp.open_connected(host, port)
    except OSError as exc:
        raise LinkFailed(exc.strerror or str(exc)) from exc
    dialler = Dialler(
        kind,
        sock,
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
            raise LinkFailed(f"no answer within {within:g} s") from exc
        raise
    return dialler.link
