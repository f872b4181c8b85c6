"""Joins one client's TCP connection and its stream, and decides what the end of one means.

    TCP                         stream
    FIN                     ->  FIN; the other direction stays open, idle for at most the linger
    reset, timed out        ->  reset with a given code
    FIN                     <-  FIN after all bytes; the other direction stays open likewise
    RST                     <-  reset by the peer, or link lost
    RST                     <>  reset: `abort()`, linger or idle timeout expired

`quictunnel.relay.sides` moves the bytes. A stream is an `asyncio.Transport` with `reset(code)` and
`is_silent`.
"""

from __future__ import annotations

import asyncio
import enum
import errno
from collections.abc import Callable
from typing import NamedTuple

from quictunnel.errors import LinkLost, StreamReset
from quictunnel.protocol.codes import Code, describe
from quictunnel.relay.idle_timer import IdleTimer
from quictunnel.relay.rate_limit import RateLimit
from quictunnel.relay.sides import Side, make_sides
from quictunnel.relay.throttle import Throttle


class Ending(enum.StrEnum):
    """How a relay ended. The first cause decides."""

    IN_ORDER = "in order"
    """EOF passed in both directions, after every byte."""
    TCP_LOST = "tcp lost"
    """The TCP connection was reset, or its peer does not answer."""
    STREAM_RESET = "stream reset"
    """The peer reset the stream. The code says why."""
    LINK_LOST = "link lost"
    """The link was lost, and the stream with it."""
    CUT = "cut"
    """This end reset both sides. The code says why."""
    CLOSED = "closed"
    """This end's administrator closed the connection: both sides were reset."""
    DETACHED = "detached"
    """This end reset the stream and kept the TCP connection. The code says why."""


_NO_PROTOCOL = asyncio.Protocol()
"""The protocol of a stream whose relay was detached."""

CLOSED = "closed by the administrator"
"""The reason when an administrator has closed a connection."""

_IN_ORDER = (Ending.IN_ORDER, Code.NO_ERROR, Code.NO_ERROR.word)


class RelayEnd(NamedTuple):
    """The result of a relay: one line in the access log."""

    bytes_from_tcp: int
    """Bytes received from the TCP connection."""
    bytes_to_tcp: int
    """Bytes received from the stream."""
    duration: float
    """Seconds since the relay was created."""
    ending: Ending
    """How it ended."""
    code: int | None
    """A `Code`, or a number that only the peer knows; None if the network ended it."""
    reason: str
    """The ending in words. It may contain text from the peer, so escape it before printing."""


class RelayLimits(NamedTuple):
    """The limits that policies set for one relay."""

    rates: tuple[RateLimit, ...] = ()
    """The limits on its bytes per second. Each may be shared with other relays."""
    idle_timer: IdleTimer[Relay] | None = None
    """Limits how long it may be idle; None if it may be idle for ever."""


NO_LIMITS = RelayLimits()


class Relay:
    """Joins two transports, which may connect in either order.

    Use `relay.tcp` as the protocol of the TCP connection and `relay.stream` as the protocol of the
    stream. Nothing is read from either before both are connected. `relay.stream.write(preamble)`
    and `relay.tcp.write(header)` put bytes ahead of the relayed ones; call them before the other
    side is connected. Bytes that were read before a side was handed over go to its `take_over()`
    after its `connection_made()`.

    :param linger_timer: limits the idle time of the second direction once the first has ended.
        Time in which nothing can move does not count: see `is_on_hold`.
    :param tcp_reset_code: the code with which the stream is reset when the TCP connection is reset.
    :param on_end: called exactly once, when both transports are gone.
    :param limits: further limits.
    :param loop: the running loop by default.
    """

    __slots__ = (
        "_end",
        "_idle_timer",
        "_is_over",
        "_linger_timer",
        "_made_at",
        "_on_end",
        "_reset_code",
        "loop",
        "on_link_lost",
        "stream",
        "tcp",
    )

    def __init__(
        self,
        *,
        linger_timer: IdleTimer[Relay],
        tcp_reset_code: Code,
        on_end: Callable[[RelayEnd], None],
        limits: RelayLimits = NO_LIMITS,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.tcp, self.stream = make_sides(self)
        self._reset_code = tcp_reset_code
        self._on_end = on_end
        self._made_at = self.loop.time()
        self._linger_timer = linger_timer
        self.on_link_lost: Callable[[], object] | None = None
        """Called before the TCP connection is reset because the link is lost. It may `detach`."""
        self._end: tuple[Ending, int | None, str] | None = None
        self._is_over = False
        if limits.rates:
            self.tcp.throttle = Throttle([rate.from_tcp for rate in limits.rates], self.tcp)
            self.stream.throttle = Throttle(
                [rate.from_stream for rate in limits.rates], self.stream
            )
        self._idle_timer = limits.idle_timer
        if self._idle_timer is not None:
            self._idle_timer.start(self)

    @property
    def is_over(self) -> bool:
        """Whether `on_end` has been called."""
        return self._is_over

    @property
    def is_joined(self) -> bool:
        """Whether both sides were connected. They may have been lost since."""
        return self.tcp.transport is not None and self.stream.transport is not None

    @property
    def unread(self) -> int:
        """Bytes received from the stream that wait to be written to the TCP connection."""
        return self.tcp.buffered()

    @property
    def is_ending(self) -> bool:
        """Whether a direction has ended, or both sides were reset."""
        return self._end is not None or self.tcp.has_eof or self.stream.has_eof

    def abort(self, code: Code) -> None:
        """Reset both sides and discard their buffers. A side that connects later is reset too."""
        self._cut(Ending.CUT, code, code.word)
        self._check_over()

    def close(self) -> None:
        """Reset both sides because this end's administrator has closed the connection."""
        self._cut(Ending.CLOSED, Code.CUT_SHORT, CLOSED)
        self._check_over()

    def detach(self, code: Code) -> bool:
        """Reset the stream and let go of the TCP transport. `on_end` is called at once.

        The caller then gives the transport another protocol.

        :return: False, without an effect, if the relay has ended.
        """
        if self._end is not None or self._is_over:
            return False
        self._end = (Ending.DETACHED, code, code.word)
        if self.stream.transport is not None:
            self.stream.transport.set_protocol(_NO_PROTOCOL)
            self.stream.abort(code)
        for side in (self.tcp, self.stream):  # no callback can follow from either
            side.transport, side.is_lost = None, True
        self._check_over()
        return True

    # Called by the sides (`SideOwner`)

    def has_ended(self, side: Side) -> bool:
        """Return whether the relay has ended; if so, reset the newly connected side."""
        if self._end is None:
            return False
        self._cut(*self._end)
        return True

    def half_closed(self) -> None:
        """Start the linger of the other direction."""
        if self._end is None:
            self._linger_timer.start(self)

    def tcp_lost(self, exc: Exception | None) -> None:
        """Handle the end of the TCP connection; `exc` is None if it was closed at this end."""
        if exc is not None:
            self._cut(Ending.TCP_LOST, self._reset_code, self._describe(exc))
        elif not (self.tcp.has_eof and self.tcp.eof_sent):
            self._cut(Ending.CUT, Code.INTERNAL, "the TCP connection was closed at this end")
        self._check_over()

    def stream_lost(self, exc: Exception | None) -> None:
        """Handle the end of the stream: in order, by a reset, or with its link."""
        if self.on_link_lost is not None and self._end is None and isinstance(exc, LinkLost):
            self.on_link_lost()
            if self._is_over:
                return  # it was detached
        if isinstance(exc, StreamReset):
            self._cut(Ending.STREAM_RESET, exc.code, describe(exc.code))
        elif isinstance(exc, LinkLost):
            self._cut(Ending.LINK_LOST, exc.code, exc.reason)
        elif exc is not None or not (self.stream.has_eof and self.stream.eof_sent):
            self._cut(Ending.LINK_LOST, None, str(exc or "the stream was closed at this end"))
        self._check_over()

    # Called by the idle timers (`Watched`)

    def progress(self) -> tuple[int, ...]:
        """Return numbers that change whenever a byte arrives or a buffered byte leaves."""
        tcp, stream = self.tcp, self.stream
        return tcp.received, stream.received, tcp.unsent(), stream.unsent()

    def is_on_hold(self) -> bool:
        """Return whether nothing can move: the link is silent, or a rate limit holds bytes back."""
        return self.stream.is_silent or self.tcp.is_throttled or self.stream.is_throttled

    def linger_expired(self) -> None:
        """Reset a half-closed connection that was idle for the whole linger."""
        self.abort(Code.LINGER_OVER)

    def idle_expired(self) -> None:
        """Reset a connection that was idle for longer than its policy allows."""
        self.abort(Code.IDLE_TIMEOUT)

    # Inside

    def _cut(self, ending: Ending, code: int | None, reason: str) -> None:
        if self._end is None:
            self._end = (ending, code, reason)
        self._linger_timer.stop(self)
        if self._idle_timer is not None:
            self._idle_timer.stop(self)
        self.stream.abort(Code.INTERNAL if code is None else code)
        self.tcp.abort(Code.INTERNAL if code is None else code)

    def _check_over(self) -> None:
        tcp, stream = self.tcp, self.stream
        if not (tcp.is_lost or tcp.transport is None):
            return
        if not (stream.is_lost or stream.transport is None) or self._is_over:
            return
        self._is_over = True
        self._linger_timer.stop(self)
        self._lift_limits()
        ending, code, reason = self._end or _IN_ORDER
        duration = self.loop.time() - self._made_at
        self._on_end(RelayEnd(tcp.received, stream.received, duration, ending, code, reason))
        if tcp.is_lost and stream.is_lost:
            # No callback can follow. Break the reference cycles, so that the objects are freed
            # at once and not by the garbage collector.
            del self._on_end, tcp.peer, tcp.owner, stream.peer, stream.owner

    def _lift_limits(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.stop(self)
        if self.tcp.throttle is not None and self.stream.throttle is not None:
            self.tcp.throttle.close()
            self.stream.throttle.close()

    def _describe(self, exc: Exception) -> str:
        """Return why the TCP connection was lost: the code's words for a reset, or the system's."""
        if isinstance(exc, OSError) and exc.errno in (
            errno.ECONNRESET,
            errno.EPIPE,
            errno.ENOTCONN,
        ):
            return self._reset_code.word
        return str(exc) or type(exc).__name__
