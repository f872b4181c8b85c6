"""Asks a link's peer for an answer after an event that may have broken the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.quic.path.migration import ANSWER_TIMEOUT, PING_INTERVAL, MigratingLink

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class AnswerCheck:
    """Pings at most every `PING_INTERVAL`, and reports a missing answer.

    :param unanswered: takes the time of the ping that was not answered.
    """

    def __init__(
        self,
        link: MigratingLink,
        loop: asyncio.AbstractEventLoop,
        unanswered: Callable[[float], None],
    ) -> None:
        self._link = link
        self._loop = loop
        self._unanswered = unanswered
        self._pinged_at: float | None = None
        self._is_due = False  # another ping follows
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """Ping now, or soon if the last ping was a moment ago."""
        if self._timer is not None:
            self._is_due = True
            return
        now = self._loop.time()
        if self._pinged_at is not None and now < self._pinged_at + PING_INTERVAL:
            self._timer = self._loop.call_at(self._pinged_at + PING_INTERVAL, self._ping)
        else:
            self._ping()

    def cancel(self) -> None:
        """Expect no answer any more."""
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ping(self) -> None:
        self._pinged_at = self._loop.time()
        wait = max(ANSWER_TIMEOUT, 3 * self._link.engine.pto)
        self._timer = self._loop.call_later(wait, self._check)
        self._link.ping()

    def _check(self) -> None:
        self._timer = None
        is_due, self._is_due = self._is_due, False
        assert self._pinged_at is not None
        if self._link.engine.answered_at <= self._pinged_at:
            self._unanswered(self._pinged_at)
        elif is_due:
            self.ask()
