"""One event-loop timer for many waiters that share a timeout.

A timer per waiter costs a handle and a place in the loop's heap, and nearly all of them are
cancelled before they fire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

WaiterT = TypeVar("WaiterT")


class SharedTimer(Generic[WaiterT]):
    """Calls `expired` with each waiter that was started `timeout` seconds ago.

    :param timeout: seconds.
    :param expired: called once for each waiter, which is removed first.
    """

    def __init__(
        self,
        timeout: float,
        expired: Callable[[WaiterT], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._timeout = timeout
        self._expired = expired
        self._loop = loop or asyncio.get_running_loop()
        self._deadlines: dict[WaiterT, float] = {}  # in the order of their deadlines
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of waiters."""
        return len(self._deadlines)

    def start(self, waiter: WaiterT) -> None:
        """Start the timeout of a waiter, or restart it."""
        self._deadlines.pop(waiter, None)
        self._deadlines[waiter] = self._loop.time() + self._timeout
        if self._handle is None:
            self._schedule()

    def cancel(self, waiter: WaiterT) -> None:
        """Remove a waiter. Has no effect if it is not waiting."""
        # The loop's timer stays. If nothing is due when it fires, it does nothing.
        self._deadlines.pop(waiter, None)

    def restart_all(self) -> None:
        """Restart the timeout of every waiter."""
        for waiter in tuple(self._deadlines):
            self.start(waiter)

    def _schedule(self) -> None:
        for deadline in self._deadlines.values():
            self._handle = self._loop.call_at(deadline, self._fire)
            return

    def _fire(self) -> None:
        assert self._handle is not None
        # The loop may fire a timer a clock tick early.
        now = max(self._handle.when(), self._loop.time())
        self._handle = None
        try:
            while self._deadlines:
                waiter, deadline = next(iter(self._deadlines.items()))
                if deadline > now:
                    break
                del self._deadlines[waiter]
                self._expired(waiter)
        finally:
            if self._handle is None:
                self._schedule()
