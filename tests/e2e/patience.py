"""A test that hangs fails instead. Not a test itself."""

from __future__ import annotations

import asyncio
import contextlib

PATIENCE = 20
"""Seconds after which a test has failed; each takes a fraction of one, or two."""


@contextlib.contextmanager
def patience():
    """End whatever still runs on the loop when it is over; the test's own task among it."""
    limit = asyncio.get_running_loop().call_later(PATIENCE, _cancel_everything)
    yield
    limit.cancel()


def _cancel_everything() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
