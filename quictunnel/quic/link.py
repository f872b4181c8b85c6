"""A link: one QUIC connection, driven by the event loop, and its streams.

It joins an engine (sans-IO), a carrier (what takes datagrams) and a `LinkProtocol` (the role's
session). All work of one turn of the loop is joined: writes are sent together, a batch of
datagrams is dispatched once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.errors import LinkForgotten, LinkLost
from quictunnel.protocol.codes import Code
from quictunnel.quic.facts import LinkFacts
from quictunnel.quic.guarded_call import tell
from quictunnel.quic.path.liveness import ACCEPTOR_PATIENCE, PING_AFTER, Liveness, Step
from quictunnel.quic.stream import Stream

if TYPE_CHECKING:
    from quictunnel.protocol.address import Address
    from quictunnel.quic.engine import Engine
    from quictunnel.quic.link_protocol import Carrier, LinkProtocol

STREAMS_AT_FIRST = 16
"""Streams a peer may have open before it has proven who it is."""

LOOK_WHILE_FULL = 0.05
"""Seconds between looks at the timers while the carrier is full: what is due cannot leave then, and
would be due again at once. The carrier says when it takes more."""


class Link(LinkFacts):
    """One QUIC connection between an origin and a remote.

    Made by `listen` and `dial`; the roles meet it in `LinkProtocol.link_made`.
    """

    def __init__(
        self,
        engine: Engine,
        carrier: Carrier,
        protocol: LinkProtocol,
        *,
        local: Address,
        dialled: bool,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(engine, local)
        self.lost: LinkLost | None = None
        """Why the link has ended, once it has."""
        self.is_made = False
        """Whether the handshake is complete."""
        self._carrier = carrier
        self._protocol = protocol
        self.loop = loop
        """The event loop that drives it."""
        self._streams: dict[int, Stream] = {}
        self.paused_writers: set[Stream] = set()
        """Those whose protocol waits for `resume_writing`."""
        self._read_again: dict[int, None] = {}
        self._dialled = dialled
        patience = 0.0 if dialled else ACCEPTOR_PATIENCE
        self._liveness = Liveness(loop.time(), ping_after=PING_AFTER + patience)
        self._answered_at = 0.0
        self._told_way: tuple[Address, Address] | None = None
        self._send_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed_here = False
        self._over = asyncio.Event()

    # Facts

    @property
    def is_silent(self) -> bool:
        """The peer has not answered for a while; streams wait."""
        return self._liveness.silent_since is not None

    @property
    def silent_since(self) -> float | None:
        """When a silent peer was last heard, on the loop's clock."""
        return self._liveness.silent_since

    @property
    def is_closed(self) -> bool:
        """No more streams: it was closed, or lost."""
        return self.lost is not None

    @property
    def stream_count(self) -> int:
        """How many streams are open, the control stream among them."""
        return len(self._streams)

    # What a role may do

    def open_stream(self, protocol: asyncio.BaseProtocol) -> Stream:
        """Open a stream for `protocol`, whose `connection_made` is called at once.

        Beyond what the peer allows, the stream waits by itself: its bytes are held back.

        :raises LinkLost: the link is over.
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
        """Grant the peer the normal windows: it has proven who it is."""
        self.engine.trust()
        self._carrier.proven(self)
        self.send_soon()

    def close(self, code: int = Code.NO_ERROR, reason: str = "") -> None:
        """End the link; every stream of it is lost, here and at the peer."""
        if self.lost is None:
            self._closed_here = True
            self.engine.close_with(code, reason)
            self.send_soon()

    async def wait_closed(self) -> None:
        """Wait until the link is over and its protocol has been told."""
        await self._over.wait()

    # What the carrier tells

    def batch_received(self) -> None:
        """See what datagrams have brought to the engine, and answer them."""
        self._process()

    def carrier_ready(self) -> None:
        """Send what the carrier could not take before."""
        self.send_soon()

    def move(self, local: Address, peer: Address) -> None:
        """Go on by another path, which the carrier has taken; the engine knows its first peer."""
        self.local = local
        self._moved_to = peer
        self.engine.move(self.loop.time())
        self.send_soon()

    def ask(self) -> None:
        """Ask the peer for an answer, on the path of now."""
        self.engine.ping()
        self.send_soon()

    def start(self) -> None:
        """Send what the engine has to say first."""
        self._process()

    # One turn

    def _process(self) -> None:
        """Tell of what has happened, send what is to be sent, set the timer."""
        self.engine.dispatch(self)
        self._listen()
        self._transmit()

    def _transmit(self) -> None:
        if self._send_handle is not None and not self._read_again:
            self._send_handle.cancel()  # it would find nothing left to do
            self._send_handle = None
        now = self.loop.time()
        if not self._carrier.is_full and self._carrier.transmit(self, now):
            if not self._liveness.is_waiting and self.engine.unacknowledged:
                self._liveness.sent(now)
            share = self.engine.share if self.paused_writers else 0
            for stream in tuple(self.paused_writers):
                stream.on_sent(share)
            self.engine.dispatch(self)  # of its end, say, which has been sent
        self._set_timer()

    def send_soon(self) -> None:
        """Send at the end of this turn of the loop, with all else that it brings."""
        if self._send_handle is None:
            self._send_handle = self.loop.call_soon(self.send_now)

    def send_now(self) -> None:
        """Do now what `send_soon` has put off."""
        if self._send_handle is not None:
            self._send_handle.cancel()  # when it is not the one that runs
            self._send_handle = None
        for stream_id in tuple(self._read_again):
            del self._read_again[stream_id]
            self.on_stream_readable(stream_id)
        self._process()

    def read_soon(self, stream_id: int) -> None:
        """Hand a stream what waits for it, in the next turn of the loop."""
        self._read_again[stream_id] = None
        self.send_soon()

    def _set_timer(self) -> None:
        """Keep an earlier timer: it will look again when it fires."""
        if self.lost is not None and self.engine.is_terminated:
            self.terminate()
            return
        at = self._due_at()
        if at is None or (self._timer is not None and self._timer.when() <= at):
            return
        if self._carrier.is_full:
            at = max(at, self.loop.time() + LOOK_WHILE_FULL)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(at, self._on_timer)

    def _due_at(self) -> float | None:
        """Return when something is to be done even if nothing comes."""
        at = self.engine.deadline()
        if self.is_made and self.lost is None:
            self._liveness.is_busy = self._dialled and len(self._streams) > 1
            live = self._liveness.deadline(self.engine.pto)
            at = live if at is None else min(at, live)
        return at

    def _on_timer(self) -> None:
        self._timer = None
        now = self.loop.time()
        if (heard_at := self.engine.heard_at) is not None:
            self._liveness.heard(heard_at)
        if self.is_made and self.lost is None:
            self._look_where()
        at = self._due_at()
        if at is not None and now < at:
            self._set_timer()  # what it was set for is done, or was put off
            return
        due = self.engine.deadline()
        if due is not None and now >= due:
            self.engine.expire(now)
        self.engine.dispatch(self)
        self._listen()
        if self.is_made and self.lost is None:
            self._do(self._liveness.check(now, self.engine.pto))
        self._transmit()

    # Silence. What is due when nothing is heard, the timer sees to.

    def _listen(self) -> None:
        """Notice that the peer has answered."""
        answered_at = self.engine.answered_at
        if answered_at != self._answered_at and self.is_made and self.lost is None:
            self._answered_at = answered_at
            self._do(self._liveness.answered(answered_at))

    def _look_where(self) -> None:
        """Notice that the path is another: at each timer, though what it was for was put off."""
        way = (self.local, self.peer)
        if self._told_way is not None and way != self._told_way:
            tell(self._fail, self._protocol.link_moved)
        self._told_way = way

    def _do(self, step: Step) -> None:
        """Do what silence, or its end, asks for."""
        if step is Step.PING:
            self.engine.ping()
            if self.is_silent:
                self._carrier.suspect(self)
        elif step is Step.SILENT:
            tell(self._fail, self._protocol.link_silent)
            self._carrier.suspect(self)
        elif step is Step.BACK:
            self.engine.revive(self.loop.time())
            tell(self._fail, self._protocol.link_back)

    def forget(self, stream: Stream) -> None:
        """Know a stream no more that has ended."""
        self._streams.pop(stream.id, None)
        self.paused_writers.discard(stream)
        self._read_again.pop(stream.id, None)

    def terminate(self) -> None:
        """Let go of timers and carrier: nothing more will come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._send_handle is not None:
            self._send_handle.cancel()
            self._send_handle = None
        self._carrier.terminated(self)

    # What the engine tells

    def on_handshake(self) -> None:
        """See `Observer`."""
        if self._carrier.handshake_done(self) and self.lost is None:
            self.is_made = True
            self._liveness.agree(self.engine.hold)
            self._liveness.answered(self.loop.time())
            tell(self._fail, self._protocol.link_made, self)

    def on_stream_opened(self, stream_id: int) -> None:
        """See `Observer`."""
        if self.lost is not None or not self.is_made:
            self.engine.reset(stream_id, Code.PROTOCOL_VIOLATION)
            return
        stream = self._streams[stream_id] = Stream(self, stream_id)
        stream.begin(self._protocol.stream_accepted)

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
        self.lost = error(code, reason)
        for stream in tuple(self._streams.values()):
            stream.on_lost(self.lost)
        self._carrier.closed(self)
        if not self.is_made:
            self._over.set()
            return
        told = None if self._closed_here and not by_peer else self.lost
        self.loop.call_soon(self._tell_lost, told)

    def _tell_lost(self, exc: Exception | None) -> None:
        tell(self._fail, self._protocol.link_lost, exc)
        self._over.set()

    def _fail(self, _: Exception) -> None:
        """End it, and no other, because its role has raised."""
        self.close(Code.INTERNAL)
