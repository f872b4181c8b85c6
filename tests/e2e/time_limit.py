"""A time limit that turns a hanging test into a failing one. Not a test itself."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 60
"""Seconds after which a test has failed. On a quiet machine each takes a few at most."""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Cancel all tasks on the loop after LIMIT seconds, the test's own task among them."""
    timer = asyncio.get_running_loop().call_later(LIMIT, _cancel_all_tasks)
    yield
    timer.cancel()


def _cancel_all_tasks() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
