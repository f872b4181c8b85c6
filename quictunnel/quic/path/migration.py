"""When a dialled link leaves its path for another one, and when it stays.

It hears of what may be wrong: the network has changed, the kernel refuses to send, the peer does
not answer. A path that works is left alone, whatever is heard: it is only asked. One that has gone
is left at once; then ways are tried in turn until the peer answers on one of them. Sockets are
opened by `candidates`, and taken by the dialler.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from quictunnel.observe.logging_setup import fact
from quictunnel.protocol.address import Address
from quictunnel.quic.path.network_monitor import COALESCE_DELAY

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from quictunnel.quic.link import Link
    from quictunnel.quic.path.candidates import Candidates, Way

ANSWER_SOON = 0.3
"""Seconds for an answer on a path in doubt, and never less than three probe timeouts."""

QUICK_TRIES = 3
"""Ways that are left for the next one after `QUICK_PATIENCE`: the network may just be coming up."""

QUICK_PATIENCE = 0.25
PATIENCE = 1.0
"""Seconds that one of the later ways has, and never less than two round trips as they were before:
an answer to a socket that was left is lost."""

ASK_AT_MOST_EVERY = 1.0
"""Seconds between two questions on a path that has answered the last one: a machine may have
something to say of its interfaces all day long."""

_log = logging.getLogger("quictunnel.quic")


class PathMigration:
    """Judges the path of one link that was dialled, and finds others.

    :param candidates: where the peer may be.
    :param take: goes on from a way, in place of the one before; raises OSError, and stays there.
    """

    def __init__(
        self,
        link: Link,
        candidates: Candidates,
        take: Callable[[Way, Address], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._link = link
        self._candidates = candidates
        self._take = take
        self._loop = loop
        self._tries = 0
        self._tried_at = 0.0
        self._asked_at: float | None = None
        self._rtt = 0.0  # of the last path that answered
        self._has_moved = False  # since then
        self._stranded = False  # there was no way at all at the last look
        self._judgement: asyncio.TimerHandle | None = None  # while the path is in doubt
        self._question: asyncio.TimerHandle | None = None
        self._report: asyncio.TimerHandle | None = None

    # What is heard

    def changed(self, why: str) -> None:
        """Look whether datagrams would leave from elsewhere now, and go there; if not, ask."""
        if self._link.lost is not None:
            return
        self._candidates.refresh()
        way = self._open(another=False)
        if way is None:
            self._ask()
            return
        local = Address.of(way.sock.getsockname())
        if way.host == self._candidates.host and local.host == self._link.local.host:
            way.sock.close()
            self._ask()
        else:
            self._tries = 0
            self._go(way, why)

    def refused(self, exc: OSError) -> None:
        """Hear what the kernel has against what was sent. Often it says so many times."""
        if self._report is None:
            why = exc.strerror or str(exc)
            self._report = self._loop.call_later(COALESCE_DELAY, self._reported, why)

    def _reported(self, why: str) -> None:
        self._report = None
        self.changed(why)

    def found(self) -> None:
        """Hear that the peer has other addresses than before."""
        if self._stranded:
            self.changed("the peer has another address")

    def suspect(self) -> None:
        """Hear that the peer does not answer: begin to try, unless that is under way."""
        if self._judgement is None:
            self._try_next()

    def close(self) -> None:
        """Judge no more."""
        self._candidates.close()
        for timer in (self._judgement, self._question, self._report):
            if timer is not None:
                timer.cancel()
        self._judgement = self._question = self._report = None

    # What is done

    def _ask(self) -> None:
        """Ask on the present path, and judge it by its answer; not too often."""
        if self._question is not None:
            return
        now = self._loop.time()
        if self._asked_at is not None and now < self._asked_at + ASK_AT_MOST_EVERY:
            self._question = self._loop.call_at(self._asked_at + ASK_AT_MOST_EVERY, self._ask_late)
            return
        self._asked_at = now
        if self._judgement is None:
            self._tried_at = now
            self._judge_after(max(ANSWER_SOON, 3 * self._link.engine.pto))
        self._link.ask()

    def _ask_late(self) -> None:
        self._question = None
        if self._link.lost is None:
            self._ask()

    def _judge(self) -> None:
        """Stay, if the peer has answered since the last try; if not, try the next way."""
        self._judgement = None
        if self._link.lost is not None:
            return
        if self._link.engine.answered_at > self._tried_at:
            self._tries = 0
            self._has_moved = False
            self._candidates.proven()
        else:
            self._try_next()

    def _try_next(self) -> None:
        """Go on from a new socket: first to the same address, then to one after the other."""
        self._candidates.refresh()
        way = self._open(another=self._tries > 0)
        if way is None:
            self._tries += 1
            self._judge_after(self._patience())
        else:
            self._go(way, "the peer does not answer")

    def _open(self, *, another: bool) -> Way | None:
        way = self._candidates.open(another=another)
        self._stranded = way is None
        return way

    def _go(self, way: Way, why: str) -> None:
        if not self._has_moved:
            self._has_moved = True
            self._rtt = self._link.rtt or 0.0  # the link forgets it with the path
        self._tried_at = self._loop.time()
        patience = self._patience()
        self._tries += 1
        before = self._link.local
        try:
            self._take(way, Address.of(way.sock.getsockname()))
        except OSError:
            way.sock.close()  # no descriptors left, say: the way before is not lost
        else:
            self._candidates.host = way.host
            fact(_log, logging.DEBUG, "move", local=self._link.local, was=before, why=why)
        self._judge_after(patience)

    def _patience(self) -> float:
        patience = QUICK_PATIENCE if self._tries < QUICK_TRIES else PATIENCE
        return max(patience, 2 * self._rtt)

    def _judge_after(self, seconds: float) -> None:
        if self._judgement is not None:
            self._judgement.cancel()
        self._judgement = self._loop.call_later(seconds, self._judge)
