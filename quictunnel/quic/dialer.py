"""The end that makes a link: a socket, one handshake, one look at the certificate.

When the link goes on from another socket, and from which, is the mover's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from quictunnel.errors import LinkFailed, Refused
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Peer
from quictunnel.quic.engines.selection import choose
from quictunnel.quic.link import STREAMS_AT_FIRST, Link
from quictunnel.quic.path import udp
from quictunnel.quic.path.candidates import Candidates
from quictunnel.quic.path.migration import PathMigration
from quictunnel.quic.path.network_monitor import NetworkMonitor

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from quictunnel.quic.engine import EndpointSocket, ReceivedBatch
    from quictunnel.quic.engines.selection import EngineKind
    from quictunnel.quic.link_protocol import LinkProtocol
    from quictunnel.quic.path.candidates import Resolve, Way
    from quictunnel.quic.settings import ClientTls, LinkSettings


Watch: TypeAlias = Callable[[asyncio.AbstractEventLoop, Callable[[str], None]], NetworkMonitor]
"""Makes what calls back when networks may be others than before."""


class Dialler:
    """Makes one link from a socket of its own, and carries it.

    :param hosts: addresses of the same peer, to which it may go on.
    :param resolve: finds out about them anew.
    :param watch: makes what tells the mover of other networks.
    :param connect: opens another socket.
    """

    def __init__(
        self,
        kind: EngineKind,
        sock: socket.socket,
        peer: tuple[str, int],
        *,
        protocol: LinkProtocol,
        client_tls: ClientTls,
        settings: LinkSettings,
        hosts: Sequence[str] = (),
        resolve: Resolve | None = None,
        watch: Watch = NetworkMonitor.of_this_machine,
        connect: Callable[[str, int], socket.socket] = udp.open_connected,
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
        self._carriage = self._carry(sock, peer)
        self._closed = False
        self.link = Link(engine, self, protocol, local=local, dialled=True, loop=loop)
        candidates = Candidates(
            *peer, hosts=hosts, resolve=resolve, found=self._found, loop=loop, connect=connect
        )
        self._mover = PathMigration(self.link, candidates, self._take, loop)
        self._make_watch = watch
        self._watch: NetworkMonitor | None = None
        self.link.start()

    def _arrived(self, arrivals: ReceivedBatch) -> None:
        if arrivals.touched:
            self.link.batch_received()

    def _refused(self, exc: OSError) -> None:
        """Nobody listens there, or no route leads there: fail at once, if nothing stands yet."""
        if self.link.is_made:
            self._mover.refused(exc)
        elif not self.made.done():
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
        self._watch = self._make_watch(self._loop, self._mover.changed)
        return True

    def _why_not_trusted(self, link: Link) -> str | None:
        try:
            leaf, *chain = link.peer_certificates or (None,)
        except ValueError:
            return "the remote's certificate cannot be read"
        if leaf is None:
            return "the remote showed no certificate"
        if self._tls.pin is None and self._tls.verify == "none":
            return None
        from quictunnel.quic.certificate_verification import (  # noqa: PLC0415 - slow, and few need it
            fingerprint,
            verify,
        )

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
        """See `Carrier`: go on from new sockets, which take the route and address of then."""
        self._mover.suspect()

    def _found(self) -> None:
        self._mover.found()

    def _take(self, way: Way, local: Address) -> None:
        """Go on from another socket; the one before is closed only when this one is in its place.

        :raises OSError: there is no room for it.
        """
        before = self._carriage
        at = way.host, self._peer[1]
        self._carriage = self._carry(way.sock, at)
        before.close()
        self.link.move(local, Address.of(at))

    def _carry(self, sock: socket.socket, peer: tuple[str, int]) -> EndpointSocket:
        return self._kind.carriage(
            self._endpoint,
            sock,
            peer=Peer(peer, self._peer),
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
            self._mover.close()
            if self._watch is not None:
                self._watch.close()
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
    hosts: Sequence[str] = (),
    resolve: Resolve | None = None,
) -> Link:
    """Make a link to a literal address `within` so many seconds.

    :param hosts: other literal addresses of the same peer, for when this one leads nowhere.
    :param resolve: finds out about them anew while the link lives; raises OSError if it cannot.
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
        hosts=hosts,
        resolve=resolve,
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
