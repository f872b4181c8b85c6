"""One length of time for many who wait: a single timer of the event loop does for all of them.

A timer for each costs a handle and a place in the loop's heap, and nearly all are for nothing: they
are there for what should not happen. What is to be done when it does is others' business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

WaiterT = TypeVar("WaiterT")


class SharedTimer(Generic[WaiterT]):
    """Tells who has waited for `limit` seconds.

    :param over: called with each of them, once; it waits no longer then.
    """

    def __init__(
        self,
        limit: float,
        over: Callable[[WaiterT], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._limit = limit
        self._over = over
        self._loop = loop or asyncio.get_running_loop()
        self._due: dict[WaiterT, float] = {}  # in the order in which they are due
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._due)

    def begin(self, waiter: WaiterT) -> None:
        """Let somebody wait from now on; who waits already begins anew."""
        self._due.pop(waiter, None)
        self._due[waiter] = self._loop.time() + self._limit
        if self._timer is None:
            self._set_timer()

    def end(self, waiter: WaiterT) -> None:
        """Let somebody wait no longer, if it does."""
        # The timer stays, and finds out by itself that there is nothing to do.
        self._due.pop(waiter, None)

    def renew(self) -> None:
        """Let all who wait begin anew."""
        for waiter in tuple(self._due):
            self.begin(waiter)

    def _set_timer(self) -> None:
        for due in self._due.values():
            self._timer = self._loop.call_at(due, self._tell)
            return

    def _tell(self) -> None:
        """Tell those who are due, and look again when the next one is."""
        assert self._timer is not None
        # The loop's clock may be a little before the timer's time, which counts.
        now = max(self._timer.when(), self._loop.time())
        self._timer = None
        try:
            while self._due:
                waiter, due = next(iter(self._due.items()))
                if due > now:
                    break
                del self._due[waiter]
                self._over(waiter)
        finally:
            if self._timer is None:
                self._set_timer()
