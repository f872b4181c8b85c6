"""One client's TCP connection and its stream, joined: what the end of one means for the other.

    TCP                                stream
    FIN                            ->  FIN; the other direction lives on, for the linger at most
    reset, timed out               ->  reset with the code given for it
    FIN                            <-  FIN, behind all that was written; likewise
    RST                            <-  reset by the other end, or the link is lost
    RST                            <>  reset: abort(), linger over

The bytes themselves are moved by `quictunnel.relay.sides`. Nothing of QUIC is known here: a
stream is an `asyncio.Transport` with `reset(code)` and `is_silent`.
"""

from __future__ import annotations

import asyncio
import enum
import errno
from collections.abc import Callable
from typing import NamedTuple

from quictunnel.errors import LinkLost, StreamReset
from quictunnel.protocol.codes import Code, describe
from quictunnel.relay.half_close import Lingers
from quictunnel.relay.sides import Side, make_sides


class Ending(enum.StrEnum):
    """How a relay ended: what came first decides."""

    IN_ORDER = "in order"
    """EOF passed both ways, and every byte before it."""
    TCP_LOST = "tcp lost"
    """The TCP connection was reset, or its other end is gone."""
    STREAM_RESET = "stream reset"
    """The link's other end reset the stream; its code says why."""
    LINK_LOST = "link lost"
    """The link ended, and the stream with it."""
    CUT = "cut"
    """This end cut it; the code says why."""


_IN_ORDER = (Ending.IN_ORDER, Code.NO_ERROR, Code.NO_ERROR.word)


class RelayEnd(NamedTuple):
    """What there is to say of a relay that is over: one line in the access log."""

    bytes_from_tcp: int
    """Bytes that arrived from the TCP connection."""
    bytes_to_tcp: int
    """Bytes that arrived from the stream, for the TCP connection."""
    duration: float
    """Seconds since the relay was made."""
    ending: Ending
    code: int | None
    """Of `Code`, or a number that only the other end knows; None where the network decided."""
    reason: str
    """Words for a person. They may contain what the other end sent, so they are to be escaped."""


class Relay:
    """Joins two transports, which may come in either order.

    Give `relay.tcp` as the protocol of the TCP connection and `relay.stream` as that of the
    stream. Nothing is read from either before both stand, so whoever comes first waits without
    growing. `relay.stream.write(preamble)` and `relay.tcp.write(header)` put bytes ahead of the
    relayed ones; call them before the other side's transport stands. Bytes that were read before
    a side was handed over go in through its `data_received()`, behind its `connection_made()`.

    :param lingers: count for how long the second direction is quiet once the first has ended; the
        time in which the link is silent does not count.
    :param tcp_reset_code: the code for the stream when the TCP connection is reset.
    :param on_end: called exactly once, when both transports are gone.
    :param loop: by default the running one.
    """

    __slots__ = (
        "_end",
        "_is_over",
        "_lingers",
        "_made_at",
        "_on_end",
        "_reset_code",
        "loop",
        "stream",
        "tcp",
    )

    def __init__(
        self,
        *,
        lingers: Lingers,
        tcp_reset_code: Code,
        on_end: Callable[[RelayEnd], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.tcp, self.stream = make_sides(self)
        self._reset_code = tcp_reset_code
        self._on_end = on_end
        self._made_at = self.loop.time()
        self._lingers = lingers
        self._end: tuple[Ending, int | None, str] | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether `on_end` has been called."""
        return self._is_over

    def abort(self, code: Code) -> None:
        """Reset both sides at once, and drop what they hold. A side that comes later is refused."""
        self._cut(Ending.CUT, code, code.word)
        self._check_over()

    # What the sides report

    def refuses(self, side: Side) -> bool:
        """Cut a side that comes when the relay has ended already; return whether it did."""
        if self._end is None:
            return False
        self._cut(*self._end)
        return True

    def half_ended(self) -> None:
        """EOF has arrived on one side: the other direction has the linger left."""
        if self._end is None:
            self._lingers.begin(self)

    def tcp_lost(self, exc: Exception | None) -> None:
        """The TCP connection has ended (None: it was closed here), or is about to, by an error."""
        if exc is not None:
            self._cut(Ending.TCP_LOST, self._reset_code, self._words_for(exc))
        elif not (self.tcp.ended and self.tcp.eof_sent):
            self._cut(Ending.CUT, Code.INTERNAL, "the TCP connection was closed at this end")
        self._check_over()

    def stream_lost(self, exc: Exception | None) -> None:
        """The stream has ended: in order, by a reset, or with its link."""
        if isinstance(exc, StreamReset):
            self._cut(Ending.STREAM_RESET, exc.code, describe(exc.code))
        elif isinstance(exc, LinkLost):
            self._cut(Ending.LINK_LOST, exc.code, exc.reason)
        elif exc is not None or not (self.stream.ended and self.stream.eof_sent):
            self._cut(Ending.LINK_LOST, None, str(exc or "the stream was closed at this end"))
        self._check_over()

    # Decisions

    def _cut(self, ending: Ending, code: int | None, reason: str) -> None:
        if self._end is None:
            self._end = (ending, code, reason)
        self._lingers.end(self)
        self.stream.cut(Code.INTERNAL if code is None else code)
        self.tcp.cut(Code.INTERNAL if code is None else code)

    def _check_over(self) -> None:
        tcp, stream = self.tcp, self.stream
        if not (tcp.is_lost or tcp.transport is None):
            return
        if not (stream.is_lost or stream.transport is None) or self._is_over:
            return
        self._is_over = True
        self._lingers.end(self)
        ending, code, reason = self._end or _IN_ORDER
        duration = self.loop.time() - self._made_at
        self._on_end(RelayEnd(tcp.received, stream.received, duration, ending, code, reason))
        if tcp.is_lost and stream.is_lost:
            # Nobody will be told of anything any more. What refers to itself in a circle, however,
            # would have to be found by the garbage collector.
            del self._on_end, tcp.peer, tcp.relay, stream.peer, stream.relay

    # What the linger asks

    def progress(self) -> tuple[int, ...]:
        """Return numbers that change whenever a byte arrives or one that waited here has left."""
        tcp, stream = self.tcp, self.stream
        return tcp.received, stream.received, tcp.unsent(), stream.unsent()

    def is_excused(self) -> bool:
        """Whether nothing can move, for the link is silent."""
        return self.stream.is_silent

    def linger_over(self) -> None:
        """Cut what is half closed and does not end."""
        self.abort(Code.LINGER_OVER)

    def _words_for(self, exc: Exception) -> str:
        """Return why the TCP connection was lost, in our words for a reset, else the system's."""
        if isinstance(exc, OSError) and exc.errno in (
            errno.ECONNRESET,
            errno.EPIPE,
            errno.ENOTCONN,
        ):
            return self._reset_code.word
        return str(exc) or type(exc).__name__
