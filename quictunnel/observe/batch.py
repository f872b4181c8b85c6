"""Collects items for a moment, so that they are processed a few at a time instead of one by one.

A busy tunnel logs thousands of lines a second. A line costs half as much in a batch: each write is
a system call that may wake the reader, and code that runs several times in a row stays in the
processor's cache.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

MAX_DELAY = 0.02
"""Seconds that an item may wait for others. A reader of a log does not notice it."""

MAX_ITEMS = 256
"""Items that may wait, about 30 kB of lines."""


class Batch(Generic[Item]):
    """Passes items on in lists, at most `MAX_DELAY` seconds late.

    Without an event loop, each item is passed on at once.

    :param pass_on: processes items, oldest first.
    :param lock: is held while a list is passed on, if several threads call `flush`. `add` is called
        with the lock held.
    """

    def __init__(
        self,
        pass_on: Callable[[list[Item]], None],
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._pass_on = pass_on
        self._lock = lock or contextlib.nullcontext()
        self._items: list[Item] = []
        self._scheduled_on: asyncio.AbstractEventLoop | None = None

    def add(self, item: Item, *, is_urgent: bool = False) -> None:
        """Let an item wait for others, unless it is urgent."""
        self._items.append(item)
        if is_urgent or len(self._items) >= MAX_ITEMS or not self._is_scheduled():
            self.flush()

    def flush(self) -> None:
        """Pass on the items that wait."""
        with self._lock:
            if self._items:
                items, self._items = self._items, []
                self._pass_on(items)

    # -- Inside

    def _is_scheduled(self) -> bool:
        """Return whether the loop will pass the items on in time; ask it to if need be."""
        if self._scheduled_on is None or self._scheduled_on.is_closed():
            try:
                self._scheduled_on = asyncio.get_running_loop()
            except RuntimeError:
                self._scheduled_on = None
                return False
            self._scheduled_on.call_later(MAX_DELAY, self._on_time)
        return True

    def _on_time(self) -> None:
        self._scheduled_on = None
        self.flush()
