"""Decides when a dialed link leaves its path for another, and when it stays.

Three signals put a path in doubt: a network change, a send error, a missing answer. A path that
works is only pinged. If the local address has changed, the link moves at once. If the peer does not
answer, candidates are tried in turn until it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from quictunnel.events import EventSink, PathAttempted
from quictunnel.protocol.address import Address
from quictunnel.quic.path.network_monitor import COALESCE_DELAY

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from quictunnel.quic.engine import Engine
    from quictunnel.quic.path.candidates import Candidate, Candidates

ANSWER_TIMEOUT = 0.3
"""Seconds to wait for an answer on a path in doubt; at least three probe timeouts."""

QUICK_ATTEMPTS = 3
"""Number of attempts that get only `QUICK_TIMEOUT`: the network may just be coming up."""

QUICK_TIMEOUT = 0.25
"""Seconds for each of the first attempts; at least two round trips."""

ATTEMPT_TIMEOUT = 1.0
"""Seconds for each later attempt; at least two round trips, as measured before the outage. An
answer to a socket that was replaced is lost."""

PING_INTERVAL = 1.0
"""Shortest time in seconds between pings of a path that works. Some machines report changes of
their interfaces all day."""


class MigratingLink(Protocol):
    """The link, as its path migration sees it."""

    engine: Engine
    local: Address

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds; None before the first sample."""

    @property
    def is_closed(self) -> bool:
        """Whether the link has ended."""

    def ping(self) -> None:
        """Ask the peer for an answer on the current path."""

    def path_changed(self) -> None:
        """Stop suspecting the peer: this end's network has changed, or is down."""


class PathMigration:
    """Judges the path of one dialed link and finds others.

    :param candidates: the peer's addresses.
    :param switch: continues the link on a candidate. It raises OSError, and changes nothing, if
        that is impossible.
    :param emit: consumes `PathAttempted`.
    """

    def __init__(
        self,
        link: MigratingLink,
        candidates: Candidates,
        switch: Callable[[Candidate, Address], None],
        loop: asyncio.AbstractEventLoop,
        emit: EventSink,
    ) -> None:
        self._link = link
        self._candidates = candidates
        candidates.on_change = self.addresses_changed
        self._switch = switch
        self._loop = loop
        self._emit = emit
        self._attempts = 0
        self._attempted_at = 0.0
        self._pinged_at: float | None = None
        self._rtt = 0.0  # of the last path that answered
        self._has_moved = False  # since then
        self._has_no_route = False  # at the last attempt
        self._answer_timer: asyncio.TimerHandle | None = None  # set while the path is in doubt
        self._ping_timer: asyncio.TimerHandle | None = None
        self._error_timer: asyncio.TimerHandle | None = None

    # Signals

    def network_changed(self, reason: str) -> None:
        """Move if datagrams would leave from another address now, otherwise ping."""
        if self._link.is_closed:
            return
        self._candidates.refresh()
        candidate = self._open(next_host=False)
        if candidate is None:
            self._link.path_changed()
            self._ping()
            return
        local = Address.of(candidate.sock.getsockname())
        if candidate.host == self._candidates.host and local.host == self._link.local.host:
            candidate.sock.close()
            self._ping()
        else:
            self._attempts = 0
            self._link.path_changed()
            self._move(candidate, reason)

    def send_failed(self, exc: OSError) -> None:
        """Handle an error of sending. Errors in quick succession count once."""
        if self._error_timer is None:
            reason = exc.strerror or str(exc)
            self._error_timer = self._loop.call_later(COALESCE_DELAY, self._report_error, reason)

    def _report_error(self, reason: str) -> None:
        self._error_timer = None
        self.network_changed(reason)

    def addresses_changed(self) -> None:
        """Try again if there was no route to the peer's previous addresses."""
        if self._has_no_route:
            self.network_changed("the peer has another address")

    def peer_unanswered(self) -> None:
        """Try other paths, unless that has begun already."""
        if self._answer_timer is None:
            self._attempt_next()

    def suspend(self) -> None:
        """Leave the link where it is, until `resume`: something other than UDP carries it."""
        self._attempts = 0
        self._has_no_route = False
        self._cancel_timers()

    def resume(self, reason: str) -> bool:
        """Move to UDP, to the peer's current address. Return False if that is impossible."""
        candidate = self._open(next_host=False)
        if candidate is not None and self._move(candidate, reason):
            return True
        self.suspend()
        return False

    def close(self) -> None:
        """Cancel all timers and lookups."""
        self._candidates.close()
        self._cancel_timers()

    def _cancel_timers(self) -> None:
        for timer in (self._answer_timer, self._ping_timer, self._error_timer):
            if timer is not None:
                timer.cancel()
        self._answer_timer = self._ping_timer = self._error_timer = None

    # Actions

    def _ping(self) -> None:
        """Ping on the current path, at most every `PING_INTERVAL`, and wait for the answer."""
        if self._ping_timer is not None:
            return
        now = self._loop.time()
        if self._pinged_at is not None and now < self._pinged_at + PING_INTERVAL:
            self._ping_timer = self._loop.call_at(self._pinged_at + PING_INTERVAL, self._ping_later)
            return
        self._pinged_at = now
        if self._answer_timer is None:
            self._attempted_at = now
            self._await_answer(max(ANSWER_TIMEOUT, 3 * self._link.engine.pto))
        self._link.ping()

    def _ping_later(self) -> None:
        self._ping_timer = None
        if not self._link.is_closed:
            self._ping()

    def _check_answer(self) -> None:
        """Stay if the peer has answered since the last attempt, otherwise try the next path."""
        self._answer_timer = None
        if self._link.is_closed:
            return
        if self._link.engine.answered_at > self._attempted_at:
            self._attempts = 0
            self._has_moved = False
            self._candidates.confirm()
        else:
            self._attempt_next()

    def _attempt_next(self) -> None:
        """Continue on a new socket: first to the same address, then to the others in turn."""
        self._candidates.refresh()
        candidate = self._open(next_host=self._attempts > 0)
        if candidate is None:
            self._attempts += 1
            self._await_answer(self._timeout())
        else:
            self._move(candidate, "the peer does not answer")

    def _open(self, *, next_host: bool) -> Candidate | None:
        candidate = self._candidates.open(next_host=next_host)
        self._has_no_route = candidate is None
        return candidate

    def _move(self, candidate: Candidate, reason: str) -> bool:
        """Continue on a candidate, and await an answer. Return whether that was possible."""
        if not self._has_moved:
            self._has_moved = True
            self._rtt = self._link.rtt or 0.0  # the engine resets it with the path
        self._attempted_at = self._loop.time()
        timeout = self._timeout()
        self._attempts += 1
        previous = self._link.local
        try:
            self._switch(candidate, Address.of(candidate.sock.getsockname()))
        except OSError:
            candidate.sock.close()  # for example no descriptors left: the current path stays
            is_moved = False
        else:
            is_moved = True
            self._candidates.host = candidate.host
            self._emit(PathAttempted(str(self._link.local), str(previous), reason))
        self._await_answer(timeout)
        return is_moved

    def _timeout(self) -> float:
        timeout = QUICK_TIMEOUT if self._attempts < QUICK_ATTEMPTS else ATTEMPT_TIMEOUT
        return max(timeout, 2 * self._rtt)

    def _await_answer(self, seconds: float) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        self._answer_timer = self._loop.call_later(seconds, self._check_answer)
