"""Several ways to the same place, tried one after another with no long wait for any (RFC 8305)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

STAGGER = 0.3
"""Seconds until the next way is tried while the one before has not answered: as RFC 8305 has it."""

T = TypeVar("T")


async def first_to_succeed(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    *,
    discard: Callable[[T], None],
    stagger: float = STAGGER,
) -> T:
    """Return what the first attempt gives that succeeds; the others are cancelled.

    The next one starts when `stagger` seconds have passed, or at once when one has failed.

    :param discard: gets rid of what another attempt gave at the same moment.
    :raises ExceptionGroup: with what each attempt raised, when none succeeded.
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
            won: list[T] = []
            for task in done:
                _sort(task, won, errors)
            if won:
                for other in won[1:]:
                    discard(other)
                return won[0]
        raise ExceptionGroup("no attempt succeeded", errors)
    finally:
        await _call_off(running, discard)


def _sort(task: asyncio.Task[T], won: list[T], errors: list[Exception]) -> None:
    try:
        won.append(task.result())
    except Exception as exc:  # whatever it is, it is raised in the end
        errors.append(exc)


async def _call_off(tasks: set[asyncio.Task[T]], discard: Callable[[T], None]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, BaseException):
            discard(result)
