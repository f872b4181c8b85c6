"""Happy Eyeballs (RFC 8305): tries several addresses with staggered starts, and uses the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

STAGGER = 0.3
"""Seconds to wait for an attempt before the next one starts beside it (RFC 8305, 5)."""

T = TypeVar("T")


async def first_to_succeed(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    *,
    discard: Callable[[T], None],
    stagger: float = STAGGER,
) -> T:
    """Return the result of the first attempt that succeeds, and cancel the others.

    The next attempt starts after `stagger` seconds, or as soon as an attempt has failed.

    :param discard: releases the result of another attempt that has succeeded as well.
    :raises ExceptionGroup: what each attempt raised, if none succeeds.
    """
    to_start = list(reversed(attempts))
    running: set[asyncio.Task[T]] = set()
    errors: list[Exception] = []
    try:
        while to_start or running:
            if to_start:
                running.add(asyncio.create_task(to_start.pop()()))
            done, running = await asyncio.wait(
                running,
                timeout=stagger if to_start else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            errors += [exc for task in done if isinstance(exc := task.exception(), Exception)]
            if results := [task.result() for task in done if task.exception() is None]:
                for other in results[1:]:
                    discard(other)
                return results[0]
        raise ExceptionGroup("no attempt succeeded", errors)
    finally:
        await _cancel_all(running, discard)


async def _cancel_all(tasks: set[asyncio.Task[T]], discard: Callable[[T], None]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, BaseException):
            discard(result)
