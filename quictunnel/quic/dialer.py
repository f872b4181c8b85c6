"""Dials a link: a socket or path, a handshake, and the check of the remote's certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from quictunnel.config.via import Via
from quictunnel.errors import LinkFailed, Refused
from quictunnel.escaping import cut_sentence
from quictunnel.events import EventSink, PathReason, UdpProbeKind, discard_event
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Peer
from quictunnel.quic.engines.selection import select
from quictunnel.quic.link import MAX_UNPROVEN_STREAMS, Link, LinkProtocol
from quictunnel.quic.path import udp
from quictunnel.quic.path.candidates import Candidates
from quictunnel.quic.path.carried_addresses import DIALED_HOST
from quictunnel.quic.path.carried_endpoint_socket import CarriedEndpointSocket
from quictunnel.quic.path.carried_paths import PeerPath
from quictunnel.quic.path.fallback import Fallback
from quictunnel.quic.path.migration import PathMigration
from quictunnel.quic.path.network_monitor import NetworkMonitor, local_addresses
from quictunnel.quic.path.path_reports import PathReports
from quictunnel.quic.path.retired_sockets import RetiredSockets
from quictunnel.quic.path.udp_probe_socket import UdpProbeSocket
from quictunnel.quic.path.udp_prober import UdpProber

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from quictunnel.quic.engine import EndpointSocket, ReceivedBatch
    from quictunnel.quic.engines.selection import EngineKind
    from quictunnel.quic.path.candidates import Candidate, Resolve
    from quictunnel.quic.path.datagram_path import DatagramPath, PathOpener
    from quictunnel.quic.path.error_queue import IcmpError
    from quictunnel.quic.path.udp_probe_socket import ProbeChannelFactory
    from quictunnel.quic.settings import ClientTls, LinkSettings


MonitorFactory: TypeAlias = Callable[
    [asyncio.AbstractEventLoop, Callable[[str], None]], NetworkMonitor
]
"""Creates a monitor that calls back when the network may have changed."""


NO_REPORTS = PathReports()
"""Ignores everything."""


@dataclass(frozen=True, slots=True)
class OpenPath:
    """A path that carries a link from the start."""

    path: DatagramPath
    """The path, which the dialer owns from now on."""


class LinkDialer:
    """Creates one link on its own socket or path, and moves it to others.

    :param start: what carries the link at first: a UDP socket that is connected to `peer`, or an
        open path.
    :param peer: the address to dial; of a path, `carried_addresses.DIALED_HOST` and the peer's UDP
        port.
    :param hosts: other addresses of the same peer.
    :param resolve: looks up the peer's addresses again.
    :param opener: opens the paths that the link may use beside UDP; None if it uses UDP only.
    :param via: WEBSOCKET for a link that never uses UDP.
    :param reports: takes what happens to the link's paths.
    :param monitor: creates the network monitor.
    :param connect: opens another socket.
    :param open_channel: creates a channel for probes of UDP.
    :param look: returns this machine's addresses towards the internet, those of both families.
    """

    def __init__(
        self,
        kind: EngineKind,
        start: socket.socket | OpenPath,
        peer: tuple[str, int],
        *,
        protocol: LinkProtocol,
        client_tls: ClientTls,
        settings: LinkSettings,
        hosts: Sequence[str] = (),
        resolve: Resolve | None = None,
        opener: PathOpener | None = None,
        via: Via = Via.AUTO,
        reports: PathReports = NO_REPORTS,
        monitor: MonitorFactory = NetworkMonitor.of_this_machine,
        connect: Callable[[str, int], socket.socket] = udp.open_connected,
        open_channel: ProbeChannelFactory = UdpProbeSocket,
        look: Callable[[], tuple[str | None, ...]] = local_addresses,
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
        self._sock: socket.socket | None = None  # in use, or None
        self._udp: EndpointSocket | None = None  # of that socket
        self._retired = RetiredSockets(loop)
        self._fallback: Fallback | None = None
        self._first_path: CarriedEndpointSocket | None = None
        self._reports = reports
        self._probe_result: UdpProbeKind | None = None
        self._look = look
        self._is_terminated = False
        first: EndpointSocket
        if isinstance(start, OpenPath):
            first = self._first_path = self._attach(start.path)
            self._first_path.is_reading = True
            local = self._local_address()
            path = PeerPath(start.path.peer, start.path.kind)
        else:
            local = Address.of(start.getsockname())
            first = self._udp = self._open_endpoint_socket(start, peer)
            self._sock = start
            path = PeerPath(Address.of(peer))
        self.link = Link(
            engine, first, self, protocol, local=local, is_client=True, loop=loop, path=path
        )
        candidates = Candidates(
            None if isinstance(start, OpenPath) else peer[0],
            peer[1],
            hosts=hosts,
            resolve=resolve,
            loop=loop,
            connect=connect,
        )
        self._migration = PathMigration(self.link, candidates, self._switch, loop, emit)
        if opener is None:
            self.link.on_unanswered = self._migration.peer_unanswered
        else:
            self._fallback = Fallback(
                self.link,
                opener=opener,
                migration=self._migration,
                attach=self._attach,
                use=self._use,
                open_failed=reports.not_opened,
                look=look,
                loop=loop,
            )
            if via is not Via.WEBSOCKET:
                self._fallback.prober = UdpProber(
                    candidates,
                    peer[1],
                    loop,
                    on_answer=self._fallback.probe_answered,
                    on_result=self._note_probe,
                    open_channel=open_channel,
                )
            self.link.on_unanswered = self._fallback.peer_unanswered
            self.link.on_answered_again = self._fallback.peer_answered
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
        else:
            failed = LinkFailed(exc.strerror or str(exc))
            failed.__cause__ = exc
            self._fail(failed)

    def _fail(self, failed: LinkFailed) -> None:
        if not self.made.done():
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

    def _on_path_closed(self, socket: CarriedEndpointSocket, reason: str) -> None:
        """Fail at once if the link is not made yet."""
        if not self.link.is_made:
            self._fail(LinkFailed(reason))
        elif self._fallback is not None:
            self._fallback.path_closed(socket, reason)

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
        network_changed = self._migration.network_changed
        if self._fallback is not None:
            network_changed = self._fallback.network_changed
            if self._first_path is None:
                self._fallback.start_on_udp()
            else:
                self._fallback.start_on_path(self._first_path)
        self._monitor = self._monitor_factory(self._loop, network_changed)
        return True

    def proven(self, link: Link) -> None:
        """Do nothing: this end has chosen its peer."""

    def closed(self, link: Link) -> None:
        """Fail the dial if the link was not made, and release the socket."""
        if not self.made.done():
            self.made.set_exception(_why_failed(link))
        self._loop.call_soon(link.terminate)

    def terminated(self, link: Link) -> None:
        """Close the sockets, the paths and the network monitor."""
        if not self._is_terminated:
            self._is_terminated = True
            self._migration.close()
            self._retired.close()
            if self._monitor is not None:
                self._monitor.close()
            if self._fallback is not None:
                self._fallback.close()
            if self._first_path is not None:
                self._first_path.close()
            if self._udp is not None:
                self._udp.close()

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
        """Continue the link on another UDP socket. A previous one stays open for a while, unread.

        :raises OSError: the system cannot watch another socket.
        """
        peer = candidate.host, self._peer[1]
        udp_socket = self._open_endpoint_socket(candidate.sock, peer)
        self._leave_udp()
        self._udp = udp_socket
        self._sock = candidate.sock
        path = PeerPath(Address.of(peer))
        self._move(udp_socket, local, path, PathReason.UDP_ANSWERS)

    def _use(self, socket: CarriedEndpointSocket, reason: str) -> None:
        """Continue the link on an open path."""
        self._leave_udp()
        socket.is_reading = True
        self._move(socket, self._local_address(), PeerPath(socket.peer, socket.kind), reason)

    def _move(self, socket: EndpointSocket, local: Address, path: PeerPath, reason: str) -> None:
        """Move the link, and report another kind of path."""
        is_other_kind = self.link.path_kind is not path.kind
        self.link.move(socket, local, path.address, path.kind)
        if is_other_kind:
            self.link.path_reason = reason
            self._reports.moved(path.kind, reason)

    def _leave_udp(self) -> None:
        """Close the UDP socket in use. Datagrams that still arrive there are not refused."""
        if self._udp is not None and self._sock is not None:
            self._retired.add(self._sock)
            self._udp.close()
        self._udp = self._sock = None

    def _attach(self, path: DatagramPath) -> CarriedEndpointSocket:
        return CarriedEndpointSocket(
            self._endpoint,
            path,
            known_as=self._peer,
            loop=self._loop,
            received=self._on_received,
            closed=self._on_path_closed,
        )

    def _local_address(self) -> Address:
        """Return this machine's address, as far as it is known, for a path without a UDP socket."""
        return Address(next(filter(None, self._look()), "::"), 0)

    def _note_probe(self, result: UdpProbeKind, phrase: str) -> None:
        self.link.udp_probe = phrase
        if result is not self._probe_result:
            self._probe_result = result
            self._reports.probed(result, phrase)

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
    reports: PathReports = NO_REPORTS,
    emit: EventSink = discard_event,
) -> Link:
    """Create a link over UDP to an IP address.

    :param within: seconds for the handshake.
    :param hosts: other IP addresses of the same peer, for when this one does not answer.
    :param resolve: looks up the peer's addresses while the link lives; raises OSError on failure.
    :param opener: opens the path that the link moves to while UDP does not work. None: it stays.
    :param via: AUTO, or UDP for a link that stays on UDP even if there is an opener.
    :param reports: takes what happens to the link's paths.
    :param emit: consumes the events of the link's path.
    :raises LinkFailed: no answer, closed port, no route, or the handshake failed.
    :raises Refused: the peer is not the expected one.
    :raises SettingsError: the selected engine is not available.
    """
    kind = select(settings.engine, settings.congestion)  # a role has reported it
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
        opener=opener if via is Via.AUTO else None,
        reports=reports,
        emit=emit,
    )
    try:
        async with asyncio.timeout(within):
            return await _made(dialer)
    except TimeoutError as exc:
        raise LinkFailed(f"no answer within {within:g} s") from exc


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
    reports: PathReports = NO_REPORTS,
    emit: EventSink = discard_event,
) -> Link:
    """Create a link over a path that something other than UDP carries, and move to UDP later.

    :param opener: opens the path, now and again whenever it ends while the link lives.
    :param port: the peer's UDP port.
    :param within: seconds for the opening of the path and the handshake.
    :param hosts: the peer's IP addresses as far as they are known, best first.
    :param resolve: looks up the peer's addresses while the link lives; raises OSError on failure.
    :param via: AUTO, or WEBSOCKET for a link that never probes UDP nor moves to it.
    :param reports: takes what happens to the link's paths.
    :param emit: consumes the events of the link's path.
    :raises LinkFailed: the path cannot be opened, it closed early, no answer, or the handshake
        failed.
    :raises Refused: the peer is not the expected one.
    :raises SettingsError: the selected engine is not available.
    """
    kind = select(settings.engine, settings.congestion)  # a role has reported it
    path: DatagramPath | None = None
    try:
        async with asyncio.timeout(within):
            path = await opener.open()
            dialer = LinkDialer(
                kind,
                OpenPath(path),
                (DIALED_HOST, port),
                protocol=protocol,
                client_tls=client_tls,
                settings=settings,
                hosts=hosts,
                resolve=resolve,
                opener=opener,
                via=via,
                reports=reports,
                emit=emit,
            )
            return await _made(dialer)
    except TimeoutError as exc:
        missing = "the path was not open" if path is None else "no answer"
        raise LinkFailed(f"{missing} within {within:.3g} s") from exc


async def _made(dialer: LinkDialer) -> Link:
    """Return the link once it is made, and close it if it is not."""
    try:
        await dialer.made
    except BaseException:
        dialer.link.close(Code.NO_ERROR)
        await dialer.link.wait_closed()  # completes in this turn of the loop
        raise
    return dialer.link
