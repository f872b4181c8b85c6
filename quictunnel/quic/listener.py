"""Accepts links: many on one UDP socket, and on other paths beside it, within limits.

`link_admission` decides which new peers are accepted, and when. The listener serves proven links
first, and starts few handshakes in each turn of the event loop, so that a flood of new peers delays
current links little.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from quictunnel.config.addresses import HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.errors import SettingsError
from quictunnel.events import DropKind, EventSink, PeerDropped, discard_event
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.source import Source, format_source, source_of
from quictunnel.quic.drop_reason import DropReason
from quictunnel.quic.engines.selection import select
from quictunnel.quic.limits import HANDSHAKES_PER_TURN
from quictunnel.quic.link import MAX_UNPROVEN_STREAMS, Link, LinkProtocol
from quictunnel.quic.link_admission import LinkAdmission, Verdict, address_of
from quictunnel.quic.network_filter import NetworkFilter
from quictunnel.quic.path import udp
from quictunnel.quic.path.carried_paths import CarriedPath, CarriedPaths

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.config.networks import NetworkSet
    from quictunnel.quic.engine import Datagram, Engine, IncomingConnection, ReceivedBatch
    from quictunnel.quic.engines.selection import EngineKind
    from quictunnel.quic.path.datagram_path import DatagramPath
    from quictunnel.quic.path.error_queue import IcmpError
    from quictunnel.quic.proven_sources import ProvenSources
    from quictunnel.quic.settings import LinkSettings, ServerTls
    from quictunnel.quic.waiting_peers import WaitingPeer

WAITING_CHECK_INTERVAL = 0.05
"""Seconds between two attempts to accept a peer that waits."""

OTHER_NETWORK = DropReason(DropKind.NETWORK, "its network is not one of --origins-from")
HANDSHAKE_TIMED_OUT = DropReason(DropKind.TIMEOUT, "no handshake in time")
DISPLACED = DropReason(DropKind.DISPLACED, "its place was needed for another peer")
TOO_MANY_LINKS = DropReason(DropKind.LINKS, "too many links")
SENT_TOO_MUCH = DropReason(DropKind.TOO_MUCH, Code.TOO_MUCH.word)

NETWORK_REMOVED = "the remote accepts no more origins from this network"
"""The reason that a peer is given whose network was accepted before."""

LISTENER_CLOSED = "the remote accepts no links any more"
"""Why a path ends with its listener."""


class Listener:
    """Accepts links on one UDP address, and on the paths that are attached.

    :param protocol_factory: creates the `LinkProtocol` of each link.
    :param emit: consumes `PeerDropped`.
    """

    def __init__(
        self,
        kind: EngineKind,
        sock: socket.socket,
        *,
        protocol_factory: Callable[[], LinkProtocol],
        server_tls: ServerTls,
        settings: LinkSettings,
        emit: EventSink = discard_event,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol_factory = protocol_factory
        self._settings = settings
        self._emit = emit
        self._links: dict[Engine, Link] = {}
        self._admission: LinkAdmission[Link] = LinkAdmission(
            settings,
            self._loop.time,
            report=self._report,
            ignore=self._ignore,
            address_of=self._address_of,
        )
        self._paths = CarriedPaths(self._on_carried_received, self._on_path_exceeded)
        self._next_opening: asyncio.Handle | None = None
        self._filter: NetworkFilter | None = None
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
            icmp_error=self._on_icmp_error,
            writable=self._on_writable,
            carried=self._paths.send,
        )

    # For the role

    @property
    def proven_sources(self) -> ProvenSources:
        """The sources with a recent proof, on any path."""
        return self._admission.proven_sources

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Use another certificate for new connections.

        :raises SettingsError: the engine cannot use this key.
        """
        self._endpoint.set_certificate(server_tls)

    def accept_only(self, networks: NetworkSet) -> None:
        """Drop all datagrams from other networks from now on, and close the links there.

        A link whose peer moves to another network later is not closed: it becomes silent, and
        returns when its peer returns.

        :param networks: an empty set accepts all.
        """
        self._filter = NetworkFilter(networks) if networks else None
        if self._filter is not None:
            for link in tuple(self._links.values()):
                if not self._filter.accepts(link.peer.host):
                    link.close(Code.GOODBYE, NETWORK_REMOVED)
        self._socket.accept_only(None if self._filter is None else self.accepts_host)

    def attach_path(
        self,
        path: DatagramPath,
        peer: Address,
        *,
        on_proven: Callable[[], None],
        on_closed: Callable[[str], None] = lambda _: None,
    ) -> Callable[[str], None]:
        """Accept links on another open path, and let links move to it. The listener owns it now.

        Limits are the same as for UDP. When the path ends, its links are silent until their peers
        return on another path. A path that all proven links have left is closed.

        :param peer: the peer's real address. The port distinguishes peers of one host.
        :param on_proven: called once, when the path carries a link whose peer has proven itself.
        :param on_closed: called once, when the path has ended, with a sentence. A path that the
            listener closes is reported, too.
        :return: a function that closes the path while it is open. It takes a sentence.
        """
        if self._closing:
            path.close()
            on_closed(LISTENER_CLOSED)
            return lambda _: None
        return self._paths.attach(path, peer, on_proven=on_proven, on_closed=on_closed).close

    def close(self) -> None:
        """Stop accepting, close all links, and close the socket once the peers are notified."""
        if self._closing:
            return
        self._closing = True
        self._admission.reject_waiting()
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
        self._paths.close(LISTENER_CLOSED)
        self._socket.close()
        self._closed.set()

    # The socket's callbacks

    def _on_received(self, batch: ReceivedBatch) -> None:
        received = [link for each in batch.connections if (link := self._links.get(each))]
        received.sort(key=lambda link: not link.is_trusted)  # proven links come first
        for link in received:
            link.datagrams_received()
        for incoming in batch.incoming:
            self._judge(incoming)
        self._socket.answer()
        if self._admission.has_waiting and self._next_opening is None:
            self._next_opening = self._loop.call_soon(self._open_next)

    def _on_carried_received(self, path: CarriedPath, datagrams: list[Datagram]) -> None:
        if not self.accepts_host(path.peer.address.host):
            return
        batch = self._endpoint.receive(datagrams, self._loop.time())
        self._on_received(batch)
        for engine in batch.connections:
            if (link := self._links.get(engine)) is None:
                continue
            link.locate_peer()
            if link.is_trusted and engine.peer == path.engine_address:
                path.carries(link)

    def _on_path_exceeded(self, path: CarriedPath) -> None:
        """Close a path that has carried too much without a proven link."""
        self._report(source_of(path.peer.address), SENT_TOO_MUCH)
        path.close(SENT_TOO_MUCH.sentence)

    def _on_writable(self) -> None:
        for link in tuple(self._links.values()):
            link.socket_writable()

    def _on_icmp_error(self, error: IcmpError) -> None:
        """Notify the link that the quoted datagram belongs to, if any."""
        if error.is_closed_port:
            for link in self._links.values():
                if link.peer == error.destination and link.is_quoted_by(error.quoted):
                    link.port_closed()
                    break

    def accepts_host(self, host: str) -> bool:
        """Return whether datagrams of a host are accepted, and report those that are not."""
        if self._filter is None or self._filter.accepts(host):
            return True
        self._report(source_of(Address.of((host, 0))), OTHER_NETWORK)
        return False

    # New peers

    def _judge(self, incoming: IncomingConnection) -> None:
        """Let a new peer wait for its turn, answer with a Retry, or ignore it."""
        if self._closing:
            self._ignore(incoming)
            return
        if len(self._links) >= self._settings.max_links:
            self._report(source_of(self._address_of(incoming)), TOO_MANY_LINKS)
            self._ignore(incoming)
            return
        match self._admission.judge(incoming):
            case Verdict.RETRY:
                self._endpoint.retry(incoming, self._loop.time())
            case Verdict.IGNORE:
                self._ignore(incoming)
            case Verdict.WAIT:
                pass  # `_open_next` follows

    def _open_next(self) -> None:
        """Accept the peers whose turn has come. This is called again while others wait."""
        self._next_opening = None
        if self._closing:
            return
        for _ in range(HANDSHAKES_PER_TURN):
            opening = self._admission.next_opening()
            if opening is None:
                break
            if opening.displaced is not None:
                self._drop(opening.displaced, DISPLACED)
            self._open(opening.peer)
        else:
            if self._admission.has_waiting:
                self._next_opening = self._loop.call_soon(self._open_next)
            return
        if self._admission.has_waiting:
            self._next_opening = self._loop.call_later(WAITING_CHECK_INTERVAL, self._open_next)

    def _open(self, peer: WaitingPeer) -> None:
        """Accept a peer: its handshake starts.

        A peer whose first packet or token is invalid has used its place in the limits on handshakes
        nevertheless. Otherwise such packets would cause work, and Retries, without any limit. Peers
        without a validated address can use only half of the handshakes, and any other peer only
        those of its source and site, so such packets do not lock out others.
        """
        if self._is_gone(peer.incoming):
            self._ignore(peer.incoming)
            return
        engine = self._endpoint.accept(peer.incoming, self._loop.time())
        if engine is None:
            self._socket.answer()
            return
        link = Link(
            engine,
            self._socket,
            self,
            self._protocol_factory(),
            local=self.address,
            is_client=False,
            loop=self._loop,
            locate=self._paths.locate,
        )
        link.locate_peer()
        self._links[engine] = link
        self._admission.link_opened(link, peer)
        self._handshake_timers[link] = self._loop.call_later(
            self._settings.handshake_timeout, self._drop, link, HANDSHAKE_TIMED_OUT
        )
        link.datagrams_received()

    def _ignore(self, incoming: IncomingConnection) -> None:
        self._endpoint.ignore(incoming)

    def _address_of(self, incoming: IncomingConnection) -> Address:
        """Return the real address of a new peer about which nothing has been decided yet."""
        address = address_of(incoming)
        carried = self._paths.find((address.host, address.port))
        return address if carried is None else carried.peer.address

    def _is_gone(self, incoming: IncomingConnection) -> bool:
        """Return whether the path of a peer that has waited has ended meanwhile."""
        address = address_of(incoming)
        return self._paths.locate((address.host, address.port)) is None

    def _drop(self, link: Link, reason: DropReason) -> None:
        """End a link without proof, and release what it uses at once."""
        self._report(source_of(link.peer), reason)
        link.close(Code.HELLO_TIMEOUT)
        link.send_now()
        link.terminate()

    def _report(self, source: Source, reason: DropReason) -> None:
        self._emit(PeerDropped(format_source(source), reason.sentence, reason.kind))

    # Called by links (`LinkOwner`)

    def handshake_completed(self, link: Link) -> bool:
        """Stop the handshake's timer. The role finds out who the peer is."""
        self._cancel_handshake_timer(link)
        self._admission.link_validated(link)
        return True

    def proven(self, link: Link) -> None:
        """Stop counting the link as unproven."""
        self._admission.link_proven(link)
        if (path := self._paths.find(link.engine.peer)) is not None:
            path.carries(link)

    def closed(self, link: Link) -> None:
        """Stop the handshake's timer.

        A link without proof is released as soon as its close packet is sent. It answers no late
        packets of a peer that may have sent many.
        """
        self._cancel_handshake_timer(link)
        if link.is_trusted:
            return
        if link.lost is not None and link.lost.code == Code.TOO_MUCH:
            self._report(source_of(link.peer), SENT_TOO_MUCH)
        self._loop.call_soon(link.terminate)

    def terminated(self, link: Link) -> None:
        """Remove the link."""
        self._cancel_handshake_timer(link)
        self._admission.link_ended(link, link.peer)
        if self._links.pop(link.engine, None) is not None:
            self._endpoint.forget(link.engine)

    def _cancel_handshake_timer(self, link: Link) -> None:
        if (timer := self._handshake_timers.pop(link, None)) is not None:
            timer.cancel()


def _ignore_send_error(exc: OSError) -> None:
    """Ignore an error of sending. The peer's silence tells a listener the same."""


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
    :param emit: consumes `EngineSkipped` and `PeerDropped`.
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
            emit=emit,
        )
    except SettingsError:
        sock.close()
        raise
