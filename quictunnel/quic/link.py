"""A link: one QUIC connection on the event loop, and its streams.

A link joins an engine (sans-IO), the endpoint socket that carries its datagrams, its owner (the
listener or dialer) and its protocol (the role's session). Within one turn of the event loop, writes
are sent together and received datagrams are dispatched once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography import x509

from quictunnel.errors import LinkForgotten, LinkLost
from quictunnel.escaping import cut_sentence
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.callbacks import call_protocol
from quictunnel.quic.path.carried_paths import PeerPath
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.path.error_queue import is_about
from quictunnel.quic.path.liveness import (
    ACCEPTOR_PATIENCE,
    BUSY_PATIENCE,
    PING_AFTER,
    PING_WHEN_BUSY_AFTER,
    Liveness,
    Step,
)
from quictunnel.quic.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.engine import EndpointSocket, Engine, Statistics

MAX_UNPROVEN_STREAMS = 16
"""Streams that a peer may have open before it has proven itself."""

FULL_SOCKET_INTERVAL = 0.05
"""Shortest time in seconds between timers while the socket is full. Nothing can be sent then, and
due timers would fire again at once. The socket reports when it accepts more."""

PEER_ENDED = "the other end's process has ended: its machine reports that its UDP port is closed"
"""Why a link is lost whose peer is dead."""

NOT_ANSWERED = "a closed port was reported, and no ping was answered"
"""The reason in the close for that peer, which reads it only if it is alive after all."""

LATE_AFTER = 0.05
"""Seconds by which a timer fires late if the process was stopped, as by SIGSTOP."""


class LinkProtocol(Protocol):
    """The role above a link. Its methods are called in this order: made, others, lost."""

    def link_made(self, link: Link) -> None:
        """Handle the completed handshake. Only TLS has identified the peer so far."""

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """Return the protocol of a stream that the peer has opened."""

    def link_silent(self) -> None:
        """Handle a peer that does not answer."""

    def link_back(self) -> None:
        """Handle the answer of a silent peer."""

    def link_moved(self) -> None:
        """Handle a change of `Link.local`, `Link.peer` or `Link.path_kind`."""

    def link_lost(self, exc: Exception | None) -> None:
        """Handle the end of the link, after that of its streams. Called exactly once.

        :param exc: None if this end closed the link.
        """


class AcknowledgementObserver(Protocol):
    """Follows what is sent and acknowledged: `AwaitedAnswers`."""

    is_waiting: bool
    """Whether the methods must be called now."""

    def sent(self, now: float) -> None:
        """Handle that something was sent."""

    def acknowledged(self, now: float, engine: Engine) -> None:
        """Handle that the peer has acknowledged something that was not acknowledged before."""


class LinkOwner(Protocol):
    """The listener or dialer that created a link."""

    def handshake_completed(self, link: Link) -> bool:
        """Return whether the link is acceptable. If not, the owner has closed it."""

    def proven(self, link: Link) -> None:
        """Handle a peer that has proven itself to the role."""

    def closed(self, link: Link) -> None:
        """Handle the end of a link. `Link.lost` is the reason."""

    def terminated(self, link: Link) -> None:
        """Release what the link uses: it sends and receives nothing more."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """A link's path and its engine's figures."""

    local: Address
    """This end's address, as far as the socket knows it."""
    peer: Address
    """The peer's address."""
    engine: Statistics
    """Round-trip time, congestion window and counters."""


@dataclass(eq=False, slots=True)
class _Question:
    """A ping whose answer, or missing answer, is reported."""

    on_result: Callable[[bool], None]
    timer: asyncio.TimerHandle | None = None


class Link:
    """One QUIC connection between an origin and a remote, created by `listen` and `dial`.

    :param socket: carries the engine's datagrams.
    :param is_client: whether this end dialed the link.
    :param path: how the peer is reached, until `move`. None if the engine knows.
    :param locate: returns how a peer is reached, by the address that the engine sees; None if that
        is not known any more. Without it, all addresses are of UDP.
    """

    def __init__(
        self,
        engine: Engine,
        socket: EndpointSocket,
        owner: LinkOwner,
        protocol: LinkProtocol,
        *,
        local: Address,
        is_client: bool,
        loop: asyncio.AbstractEventLoop,
        path: PeerPath | None = None,
        locate: Callable[[tuple[str, int]], PeerPath | None] | None = None,
    ) -> None:
        self.engine = engine
        """For streams and the link's owner. Roles use the methods of `Link`."""
        self.local = local
        """This end's address, as far as the socket knows it."""
        self.loop = loop
        """The event loop that runs the link."""
        self.lost: LinkLost | None = None
        """Why the link has ended; None while it is open."""
        self.is_made = False
        """Whether the handshake is complete and accepted."""
        self.is_trusted = False
        """Whether `trust` was called."""
        self.on_unanswered: Callable[[], None] | None = None
        """Called while the peer does not answer. None at the accepting end, because only the client
        migrates (RFC 9000, section 9)."""
        self.on_answered_again: Callable[[], None] | None = None
        """Called when a silent peer has answered."""
        self.path_reason = ""
        """Why the link has moved to its kind of path: a short phrase. Empty before the first such
        move, and at the accepting end."""
        self.udp_probe = ""
        """The result of the last probe of UDP: a short phrase. Empty if there was none."""
        self.acknowledgements: AcknowledgementObserver | None = None
        """Told about packets sent and acknowledged, if it is set."""
        self.paused_writers: set[Stream] = set()
        """Streams whose protocol waits for `resume_writing`."""
        self._socket = socket
        self._owner = owner
        self._protocol = protocol
        self._is_client = is_client
        self._locate = locate or _locate_udp
        self._located = PeerPath(local)
        self._located_for: tuple[str, int] | None = None
        self._moved_to = path
        self._streams: dict[int, Stream] = {}
        self._still_readable: dict[int, None] = {}
        patience, busy_patience = (0.0, 0.0) if is_client else (ACCEPTOR_PATIENCE, BUSY_PATIENCE)
        self._liveness = Liveness(
            loop.time(),
            ping_after=PING_AFTER + patience,
            ping_when_busy_after=PING_WHEN_BUSY_AFTER + busy_patience,
        )
        self._answered_at = 0.0
        self._moved_at = 0.0
        self._is_peer_dead = False
        self._reported_path: tuple[Address, PeerPath] | None = None
        self._send_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._questions: list[_Question] = []
        self._closed_here = False
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Link to {self.peer}>"

    # State

    @property
    def peer(self) -> Address:
        """The peer's current address."""
        return self._peer_path.address

    @property
    def path_kind(self) -> PathKind:
        """The kind of path that carries the link's datagrams at present."""
        return self._peer_path.kind

    @property
    def _peer_path(self) -> PeerPath:
        if self._moved_to is None:
            self.locate_peer()
        return self._moved_to or self._located

    @property
    def hold(self) -> float:
        """Seconds of silence after which the link is lost: the smaller of both ends'."""
        return self.engine.hold

    @property
    def exporter(self) -> bytes:
        """The TLS exporter, 32 bytes, equal at both ends of this connection."""
        return self.engine.exporter

    @property
    def peer_certificates(self) -> tuple[x509.Certificate, ...]:
        """The certificates of the accepting end, the leaf first.

        :raises ValueError: one of them cannot be parsed.
        """
        return tuple(map(x509.load_der_x509_certificate, self.engine.peer_certificates))

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds; None before the first sample."""
        return self.engine.rtt

    @property
    def statistics(self) -> LinkStatistics:
        """The path and the engine's figures."""
        return LinkStatistics(self.local, self.peer, self.engine.statistics)

    @property
    def is_silent(self) -> bool:
        """Whether the peer does not answer. Streams wait meanwhile."""
        return self._liveness.silent_since is not None

    @property
    def silent_since(self) -> float | None:
        """When a silent peer was last heard, in seconds of the loop's clock; None if not silent."""
        return self._liveness.silent_since

    @property
    def unheard_for(self) -> float:
        """Seconds since the peer's last packet was read.

        After the process was suspended, this is long before `is_silent` is set: packets that wait
        to be read may follow.
        """
        heard_at = self.engine.heard_at
        return self.loop.time() - (self._liveness.heard_at if heard_at is None else heard_at)

    @property
    def is_closed(self) -> bool:
        """Whether the link was closed or lost."""
        return self.lost is not None

    @property
    def stream_count(self) -> int:
        """The number of open streams, including the control stream."""
        return len(self._streams)

    # For the role

    def open_stream(self, protocol: asyncio.BaseProtocol) -> Stream:
        """Open a stream and call the protocol's `connection_made`.

        Beyond the peer's limit, the stream waits and its bytes are buffered.

        :raises LinkLost: the link has ended.
        """
        if self.lost is not None:
            raise self.lost
        stream = Stream(self, self.engine.open_stream())
        self._streams[stream.id] = stream
        stream.set_protocol(protocol)
        protocol.connection_made(stream)
        return stream

    def allow_streams(self, count: int) -> None:
        """Let the peer have `count` streams open at once."""
        self.engine.allow_streams(count)
        self.send_soon()

    def trust(self) -> None:
        """Grant the peer normal flow-control windows, because it has proven itself."""
        self.is_trusted = True
        self.engine.trust()
        self._owner.proven(self)
        self.send_soon()

    def close(self, code: int = Code.NO_ERROR, reason: str = "") -> None:
        """Close the link. All its streams are lost, at both ends."""
        if self.lost is None:
            self._closed_here = True
            self.engine.close_with(code, reason)
            self.send_soon()

    def ask(self, within: float, on_result: Callable[[bool], None]) -> None:
        """Ping the peer, and call `on_result` once in a later turn of the event loop.

        :param within: seconds to wait for the answer.
        :param on_result: takes whether the peer has answered in time.
        """
        if self.lost is not None:
            self.loop.call_soon(on_result, False)
            return
        question = _Question(on_result)
        question.timer = self.loop.call_later(within, self._answer, question, False)
        self._questions.append(question)
        self.ping()

    async def wait_closed(self) -> None:
        """Wait until the link has ended and its protocol was notified."""
        await self._ended.wait()

    # For the owner

    def start(self) -> None:
        """Send the engine's first datagrams."""
        self._process()

    def datagrams_received(self) -> None:
        """Handle what the engine has received, and send its answers."""
        self._process()

    def locate_peer(self) -> None:
        """Find out how the peer is reached now, because its path may end at any time."""
        sockaddr = self.engine.peer
        if sockaddr is not None and self._located_for != sockaddr:  # every stream asks; rarely new
            self._located_for = sockaddr
            # If that path has ended meanwhile, the previous one is the best that is known.
            self._located = self._locate(sockaddr) or self._located

    def socket_writable(self) -> None:
        """Send what the full socket did not accept before."""
        self.send_soon()

    def move(
        self,
        socket: EndpointSocket,
        local: Address,
        peer: Address,
        kind: PathKind = PathKind.UDP,
    ) -> None:
        """Continue on another path.

        :param socket: carries the datagrams from now on.
        :param peer: the peer's address on this path. The engine keeps the address it dialed.
        :param kind: the kind of that path.
        """
        self._socket = socket
        self.local = local
        self._moved_to = PeerPath(peer, kind)
        self._moved_at = self.loop.time()
        self.engine.move(self.loop.time())
        self.send_soon()

    def ping(self) -> None:
        """Ask the peer for an answer on the current path."""
        self.engine.ping()
        self.send_soon()

    def is_quoted_by(self, quoted: bytes) -> bool:
        """Return whether an ICMP message quotes a datagram of this link, as it is sent now."""
        return is_about(quoted, self.engine.latest_sent)

    def port_closed(self) -> None:
        """Handle an ICMP port unreachable from the peer's address that quotes this link.

        It is only a reason to ping. On a path on which the peer has not answered yet, it means
        nothing: a stranger may have this address here.
        """
        is_answered = self.engine.answered_at >= self._moved_at
        if self.is_made and self.lost is None and is_answered:
            self._act(self._liveness.suspect(self.loop.time()))
            self.send_soon()

    def path_changed(self) -> None:
        """Stop suspecting the peer: this end's network has changed, or is down."""
        self._liveness.trust_again()

    def terminate(self) -> None:
        """Cancel all timers and notify the owner."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._send_handle is not None:
            self._send_handle.cancel()
            self._send_handle = None
        self._owner.terminated(self)

    # For streams

    def send_soon(self) -> None:
        """Send at the end of this turn of the event loop."""
        if self._send_handle is None:
            self._send_handle = self.loop.call_soon(self.send_now)

    def send_now(self) -> None:
        """Do at once what `send_soon` has scheduled."""
        if self._send_handle is not None:
            self._send_handle.cancel()  # this call may not be the scheduled one
            self._send_handle = None
        for stream_id in tuple(self._still_readable):
            del self._still_readable[stream_id]
            self.on_stream_readable(stream_id)
        self._process()

    def read_soon(self, stream_id: int) -> None:
        """Call a stream's `on_readable` in the next turn of the event loop."""
        self._still_readable[stream_id] = None
        self.send_soon()

    def remove_stream(self, stream: Stream) -> None:
        """Remove a stream that has ended."""
        self._streams.pop(stream.id, None)
        self.paused_writers.discard(stream)
        self._still_readable.pop(stream.id, None)

    # One turn

    def _process(self) -> None:
        self.engine.dispatch(self)
        self._check_answer()
        self._transmit()

    def _transmit(self) -> None:
        if self._send_handle is not None and not self._still_readable:
            self._send_handle.cancel()  # nothing will be left to send
            self._send_handle = None
        now = self.loop.time()
        if not self._socket.is_full and self._socket.transmit(self.engine, now):
            if not self._liveness.is_waiting and self.engine.unacknowledged:
                self._liveness.sent(now)
            if (observer := self.acknowledgements) is not None and observer.is_waiting:
                observer.sent(now)
            share = self.engine.share if self.paused_writers else 0
            for stream in tuple(self.paused_writers):
                stream.on_sent(share)
            self.engine.dispatch(self)  # sending may have ended the connection
        self._set_timer()

    def _set_timer(self) -> None:
        """Keep an earlier timer: it sets the next one when it fires."""
        if self.lost is not None and self.engine.is_terminated:
            self.terminate()
            return
        deadline = self._deadline()
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._socket.is_full:
            deadline = max(deadline, self.loop.time() + FULL_SOCKET_INTERVAL)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(deadline, self._on_timer)

    def _deadline(self) -> float | None:
        """Return when the engine or the liveness check is due."""
        deadline = self.engine.deadline()
        if self.is_made and self.lost is None:
            self._liveness.is_busy = len(self._streams) > 1
            check_at = self._liveness.deadline(self.engine.pto)
            deadline = check_at if deadline is None else min(deadline, check_at)
        return deadline

    def _on_timer(self) -> None:
        """Run what is due. After the process was stopped, read first.

        The peer's answers may wait to be read, but epoll_wait(2) reports no event to a process
        that continues after the end of its timeout.
        """
        now = self.loop.time()
        if self._timer is not None and now - self._timer.when() > LATE_AFTER:
            self._timer = self.loop.call_at(now, self._run_due)
        else:
            self._run_due()

    def _run_due(self) -> None:
        self._timer = None
        now = self.loop.time()
        if (heard_at := self.engine.heard_at) is not None:
            self._liveness.heard(heard_at)
        if self.is_made and self.lost is None:
            self._check_path()
        deadline = self._deadline()
        if deadline is not None and now < deadline:
            self._set_timer()
            return
        expires_at = self.engine.deadline()
        if expires_at is not None and now >= expires_at:
            self.engine.expire(now)
        self.engine.dispatch(self)
        self._check_answer()
        if self.is_made and self.lost is None:
            self._act(self._liveness.check(now, self.engine.pto))
        self._transmit()

    # Silence and moves

    def _check_answer(self) -> None:
        """Record an answer of the peer."""
        answered_at = self.engine.answered_at
        if answered_at != self._answered_at and self.is_made and self.lost is None:
            self._answered_at = answered_at
            self._act(self._liveness.answered(answered_at))
            self._answer_all(is_answered=True)
            if (observer := self.acknowledgements) is not None and observer.is_waiting:
                observer.acknowledged(answered_at, self.engine)

    def _answer_all(self, *, is_answered: bool) -> None:
        for question in tuple(self._questions):
            self._answer(question, is_answered)

    def _answer(self, question: _Question, is_answered: bool) -> None:
        self._questions.remove(question)
        if question.timer is not None:
            question.timer.cancel()
        self.loop.call_soon(question.on_result, is_answered)

    def _check_path(self) -> None:
        """Report a changed path. Called at every timer, because engines do not announce it."""
        path = (self.local, self._peer_path)
        if self._reported_path is not None and path != self._reported_path:
            call_protocol(self._fail, self._protocol.link_moved)
        self._reported_path = path

    def _act(self, step: Step) -> None:
        if step is Step.PING:
            self.engine.ping()
        elif step is Step.SILENT:
            call_protocol(self._fail, self._protocol.link_silent)
        elif step is Step.BACK:
            self.engine.revive(self.loop.time())
            call_protocol(self._fail, self._protocol.link_back)
            if self.on_answered_again is not None:
                self.on_answered_again()
        elif step is Step.DEAD:
            # If the peer lives after all, it learns of the end, and need not wait for the hold.
            self._is_peer_dead = True
            self.engine.close_with(Code.NO_ERROR, NOT_ANSWERED)
            self.send_soon()
            return
        if self.is_silent and step is not Step.NOTHING and self.on_unanswered is not None:
            self.on_unanswered()

    # Called by the engine (`Observer`)

    def on_handshake(self) -> None:
        """See `Observer`."""
        if self._owner.handshake_completed(self) and self.lost is None:
            self.is_made = True
            self._liveness.agree(self.engine.hold)
            self._liveness.answered(self.loop.time())
            call_protocol(self._fail, self._protocol.link_made, self)

    def on_stream_opened(self, stream_id: int) -> None:
        """See `Observer`."""
        if self.lost is not None or not self.is_made:
            self.engine.reset(stream_id, Code.PROTOCOL_VIOLATION)
            return
        stream = self._streams[stream_id] = Stream(self, stream_id)
        stream.start(self._protocol.stream_accepted)

    def on_stream_readable(self, stream_id: int) -> None:
        """See `Observer`."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.on_readable()

    def on_stream_reset(self, stream_id: int, code: int) -> None:
        """See `Observer`."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.on_reset(code)

    def on_stream_stopped(self, stream_id: int, code: int) -> None:
        """See `Observer`."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.on_stopped(code)

    def on_stream_ended(self, stream_id: int) -> None:
        """See `Observer`."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.on_ended()

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        """See `Observer`."""
        error = LinkForgotten if self.engine.forgotten_by_peer else LinkLost
        if self._is_peer_dead:
            self.lost = LinkLost(None, PEER_ENDED)
        else:
            self.lost = error(code, cut_sentence(reason))  # the peer may have chosen it
        for stream in tuple(self._streams.values()):
            stream.on_lost(self.lost)
        self._answer_all(is_answered=False)
        self._owner.closed(self)
        if not self.is_made:
            self._finish()
            return
        reported = None if self._closed_here and not by_peer else self.lost
        self.loop.call_soon(self._report_lost, reported)

    def _report_lost(self, exc: Exception | None) -> None:
        call_protocol(self._fail, self._protocol.link_lost, exc)
        self._finish()

    def _finish(self) -> None:
        """Let go of the protocol, which needs no further call, and which refers to this link."""
        del self._protocol
        self._ended.set()

    def _fail(self, _: Exception) -> None:
        """Close this link, and no other, because its protocol has raised."""
        self.close(Code.INTERNAL)


def _locate_udp(sockaddr: tuple[str, int]) -> PeerPath:
    return PeerPath(Address.of(sockaddr))
