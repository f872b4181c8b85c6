"""Tries to open a path until it is open or not needed any more, with growing pauses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.path.datagram_path import DatagramPath, PathOpener

OPEN_TIMEOUT = 12.0
"""Seconds for one attempt. Openers have shorter deadlines of their own."""

RETRY_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each attempt after the first. The last one stays."""

HASTEN_INTERVAL = 0.5
"""Shortest time in seconds between two attempts that do not wait for their turn."""


class PathOpening:
    """The attempts of one link. At most one runs at a time.

    :param opened: takes the open path, in the turn of the event loop in which it was opened.
    :param is_needed: returns whether another attempt is of use.
    :param failed: takes each new reason why no path can be opened.
    """

    def __init__(
        self,
        opener: PathOpener,
        loop: asyncio.AbstractEventLoop,
        opened: Callable[[DatagramPath], None],
        is_needed: Callable[[], bool],
        failed: Callable[[str], None],
    ) -> None:
        self._opener = opener
        self._loop = loop
        self._opened = opened
        self._is_needed = is_needed
        self._failed = failed
        self._failure: str | None = None  # of the latest attempt
        self._attempts = 0
        self._attempted_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether attempts are made."""
        return self._task is not None or self._timer is not None

    def start(self, *, at_once: bool) -> None:
        """Make attempts until a path is open, unless that has begun.

        :param at_once: whether the first attempt needs no pause, if none was made before.
        """
        if not self.is_running:
            self._schedule(at_once=at_once)

    def hasten(self, *, anew: bool) -> None:
        """Make an attempt now: the network has changed.

        :param anew: whether to abandon an attempt that is under way.
        """
        now = self._loop.time()
        if not anew and (
            self._task is not None
            or (self._attempted_at is not None and now < self._attempted_at + HASTEN_INTERVAL)
        ):
            return
        self.stop()
        self._schedule(at_once=True)

    def stop(self) -> None:
        """Make no more attempts, and wait no longer than at first before the next ones."""
        self._attempts = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def reset(self) -> None:
        """Wait no longer than at first before the next attempt: a path was of use for a while."""
        self._attempts = 0

    def _schedule(self, *, at_once: bool) -> None:
        if at_once and self._attempts == 0:
            self._attempt()
            return
        index = max(self._attempts - 1, 0)
        delay = RETRY_DELAYS[min(index, len(RETRY_DELAYS) - 1)]
        self._timer = self._loop.call_later(delay, self._attempt_if_needed)

    def _attempt_if_needed(self) -> None:
        self._timer = None
        if self._is_needed():
            self._attempt()
        else:
            self._attempts = 0

    def _attempt(self) -> None:
        self._attempts += 1
        self._attempted_at = self._loop.time()
        self._task = self._loop.create_task(self._open(), name="opening of a path")
        self._task.add_done_callback(self._finished)

    async def _open(self) -> None:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                path = await self._opener.open()
        except TimeoutError:
            self._handle_failure(task, f"the path was not open within {OPEN_TIMEOUT:g} s")
            return
        except LinkFailed as exc:
            self._handle_failure(task, str(exc))
            return
        if task is not self._task:
            path.close()  # it was opened although the attempt was cancelled
            return
        self._failure = None
        self._task = None
        self._opened(path)

    def _handle_failure(self, task: asyncio.Task[None] | None, failure: str) -> None:
        if task is not self._task:
            return
        self._task = None
        self._schedule(at_once=False)
        if failure != self._failure:
            self._failure = failure
            self._failed(failure)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Report an error of the program to the event loop, and go on."""
        if task is self._task:
            self._task = None
            if not task.cancelled():
                self._schedule(at_once=False)
        if not task.cancelled():
            task.result()
