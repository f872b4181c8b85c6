"""Dials a link: a socket, a handshake, and the check of the remote's certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from quictunnel.config.via import Via
from quictunnel.errors import LinkFailed, Refused
from quictunnel.escaping import cut_sentence
from quictunnel.events import EventSink, discard_event
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Peer
from quictunnel.quic.engines.selection import select
from quictunnel.quic.link import MAX_UNPROVEN_STREAMS, Link, LinkProtocol
from quictunnel.quic.path import udp
from quictunnel.quic.path.candidates import Candidates
from quictunnel.quic.path.migration import PathMigration
from quictunnel.quic.path.network_monitor import NetworkMonitor
from quictunnel.quic.path.retired_sockets import RetiredSockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from quictunnel.quic.engine import EndpointSocket, ReceivedBatch
    from quictunnel.quic.engines.selection import EngineKind
    from quictunnel.quic.path.candidates import Candidate, Resolve
    from quictunnel.quic.path.datagram_path import PathKind, PathOpener
    from quictunnel.quic.path.error_queue import IcmpError
    from quictunnel.quic.settings import ClientTls, LinkSettings


MonitorFactory: TypeAlias = Callable[
    [asyncio.AbstractEventLoop, Callable[[str], None]], NetworkMonitor
]
"""Creates a monitor that calls back when the network may have changed."""


def _ignore_path(_kind: PathKind, _reason: str) -> None:
    """Ignore a change of a link's path."""


class LinkDialer:
    """Creates one link on its own socket, and moves it to other sockets.

    :param hosts: other addresses of the same peer.
    :param resolve: looks up the peer's addresses again.
    :param monitor: creates the network monitor.
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
        monitor: MonitorFactory = NetworkMonitor.of_this_machine,
        connect: Callable[[str, int], socket.socket] = udp.open_connected,
        emit: EventSink = discard_event,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[None] = loop.create_future()
        """Done when the link is made; fails with LinkFailed or Refused."""
        self._tls = client_tls
        self._peer = peer
        self._loop = loop
        self._kind = kind
        self._endpoint = kind.endpoint(
            settings, server_tls=None, streams=MAX_UNPROVEN_STREAMS, now=loop.time()
        )
        engine = self._endpoint.connect(peer, client_tls.server_name, loop.time())
        local = Address.of(sock.getsockname())
        self._sock = sock
        self._socket = self._open_endpoint_socket(sock, peer)
        self._retired = RetiredSockets(loop)
        self._is_terminated = False
        self.link = Link(
            engine,
            self._socket,
            self,
            protocol,
            local=local,
            is_client=True,
            loop=loop,
        )
        candidates = Candidates(
            *peer,
            hosts=hosts,
            resolve=resolve,
            loop=loop,
            connect=connect,
        )
        self._migration = PathMigration(self.link, candidates, self._switch, loop, emit)
        self.link.on_unanswered = self._migration.peer_unanswered
        self._monitor_factory = monitor
        self._monitor: NetworkMonitor | None = None
        self.link.start()

    # The socket's callbacks

    def _on_received(self, batch: ReceivedBatch) -> None:
        if batch.connections:
            self.link.datagrams_received()

    def _on_send_error(self, exc: OSError) -> None:
        """Fail at once if the link is not made yet: the port is closed or there is no route."""
        if self.link.is_made:
            self._migration.send_failed(exc)
        elif not self.made.done():
            failed = LinkFailed(exc.strerror or str(exc))
            failed.__cause__ = exc
            self.made.set_exception(failed)
            self.link.close(Code.NO_ERROR)

    def _on_icmp_error(self, error: IcmpError) -> None:
        """Handle an error that leaves no hope, and quotes this link if it is made."""
        if not error.is_final:
            return
        if self.link.is_made:
            if not self.link.is_quoted_by(error.quoted):
                return
            if error.is_closed_port:
                self.link.port_closed()
        self._on_send_error(error.as_os_error())

    def _on_writable(self) -> None:
        self.link.socket_writable()

    # Called by the link (`LinkOwner`)

    def handshake_completed(self, link: Link) -> bool:
        """Check the certificate."""
        reason = self._check_certificate(link)
        if reason is not None:
            if not self.made.done():
                self.made.set_exception(Refused(Code.BAD_CERTIFICATE, reason))
            link.close(Code.BAD_CERTIFICATE)
            return False
        if not self.made.done():
            self.made.set_result(None)
        self._monitor = self._monitor_factory(self._loop, self._migration.network_changed)
        return True

    def proven(self, link: Link) -> None:
        """Do nothing: this end has chosen its peer."""

    def closed(self, link: Link) -> None:
        """Fail the dial if the link was not made, and release the socket."""
        if not self.made.done():
            self.made.set_exception(_why_failed(link))
        self._loop.call_soon(link.terminate)

    def terminated(self, link: Link) -> None:
        """Close the sockets and the network monitor."""
        if not self._is_terminated:
            self._is_terminated = True
            self._migration.close()
            self._retired.close()
            if self._monitor is not None:
                self._monitor.close()
            self._socket.close()

    def _check_certificate(self, link: Link) -> str | None:
        """Return why the remote's certificate is not accepted, or None."""
        try:
            leaf, *chain = link.peer_certificates or (None,)
        except ValueError:
            return "the remote's certificate cannot be read"
        if leaf is None:
            return "the remote sent no certificate"
        if self._tls.pin is None and self._tls.verify == "none":
            return None
        from quictunnel.quic.certificate_verification import (  # noqa: PLC0415 - slow import
            fingerprint,
            verify,
        )

        if self._tls.pin is not None and fingerprint(leaf) != self._tls.pin:
            return (
                "the remote's certificate is not the pinned one: its fingerprint is "
                f"sha256:{fingerprint(leaf).hex()}"
            )
        if self._tls.verify == "none":
            return None
        ca = self._tls.ca if self._tls.verify == "ca" else None
        reason = verify(leaf, chain, server_name=self._tls.server_name, ca=ca)
        sentence = "the remote's certificate does not verify"
        return None if reason is None else f"{sentence}: {cut_sentence(reason)}"

    # Migration

    def _switch(self, candidate: Candidate, local: Address) -> None:
        """Continue the link on another socket. The previous one stays open for a while, unread.

        :raises OSError: the system cannot watch another socket.
        """
        previous = self._socket
        peer = candidate.host, self._peer[1]
        self._socket = self._open_endpoint_socket(candidate.sock, peer)
        self._retired.add(self._sock)
        self._sock = candidate.sock
        previous.close()
        self.link.move(self._socket, local, Address.of(peer))

    def _open_endpoint_socket(self, sock: socket.socket, peer: tuple[str, int]) -> EndpointSocket:
        return self._kind.endpoint_socket(
            self._endpoint,
            sock,
            peer=Peer(peer, self._peer),
            loop=self._loop,
            received=self._on_received,
            send_error=self._on_send_error,
            icmp_error=self._on_icmp_error,
            writable=self._on_writable,
        )


def _why_failed(link: Link) -> LinkFailed | Refused:
    if link.engine.alpn_mismatch:
        return Refused(
            Code.BAD_VERSION,
            "a QUIC server answers there, but it is not a quictunnel remote of this version",
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
    opener: PathOpener | None = None,
    via: Via = Via.AUTO,
    on_path: Callable[[PathKind, str], None] = _ignore_path,
    emit: EventSink = discard_event,
) -> Link:
    """Create a link over UDP to an IP address.

    :param within: seconds for the handshake.
    :param hosts: other IP addresses of the same peer, for when this one does not answer.
    :param resolve: looks up the peer's addresses while the link lives; raises OSError on failure.
    :param opener: opens the path that the link moves to while UDP does not work. None: it stays.
    :param via: AUTO, or UDP for a link that stays on UDP even if there is an opener.
    :param on_path: called at each later change of the path's kind, with the reason: a short phrase.
    :param emit: consumes the events of the link's path.
    :raises LinkFailed: no answer, closed port, no route, or the handshake failed.
    :raises Refused: the peer is not the expected one.
    :raises SettingsError: the selected engine is not available.
    """
    kind = select(settings.engine, settings.congestion, emit)
    try:
        sock = udp.open_connected(host, port)
    except OSError as exc:
        raise LinkFailed(exc.strerror or str(exc)) from exc
    dialer = LinkDialer(
        kind,
        sock,
        (host, port),
        protocol=protocol,
        client_tls=client_tls,
        settings=settings,
        hosts=hosts,
        resolve=resolve,
        emit=emit,
    )
    try:
        async with asyncio.timeout(within):
            await dialer.made
    except BaseException as exc:
        dialer.link.close(Code.NO_ERROR)
        await dialer.link.wait_closed()  # completes in this turn of the loop
        if isinstance(exc, TimeoutError):
            raise LinkFailed(f"no answer within {within:g} s") from exc
        raise
    return dialer.link


async def dial_over(
    opener: PathOpener,
    port: int,
    *,
    protocol: LinkProtocol,
    client_tls: ClientTls,
    settings: LinkSettings,
    within: float,
    hosts: Sequence[str] = (),
    resolve: Resolve | None = None,
    via: Via = Via.AUTO,
    on_path: Callable[[PathKind, str], None] = _ignore_path,
    emit: EventSink = discard_event,
) -> Link:
    """Create a link over a path that something other than UDP carries, and move to UDP later.

    :param opener: opens the path, now and again whenever it ends while the link lives.
    :param port: the peer's UDP port.
    :param within: seconds for the opening of the path and the handshake.
    :param hosts: the peer's IP addresses as far as they are known, best first.
    :param resolve: looks up the peer's addresses while the link lives; raises OSError on failure.
    :param via: AUTO, or WEBSOCKET for a link that never probes UDP nor moves to it.
    :param on_path: called at each later change of the path's kind, with the reason: a short phrase.
    :param emit: consumes the events of the link's path.
    :raises LinkFailed: the path cannot be opened, it closed early, no answer, or the handshake
        failed.
    :raises Refused: the peer is not the expected one.
    :raises SettingsError: the selected engine is not available.
    """
    raise NotImplementedError
