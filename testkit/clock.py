"""A virtual clock: an event loop that never waits, so that a test about minutes takes none.

Time stands still while any callback is ready to run. Otherwise it jumps to the next timer. The
clock is for tests without sockets and threads, because it knows nothing of events outside the
process.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _JumpingSelector(selectors.DefaultSelector):
    """Returns at once and moves the clock by the timeout that the loop asked for."""

    def __init__(self, lateness: float) -> None:
        super().__init__()
        self.now = 0.0
        self._lateness = lateness

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise RuntimeError("deadlock: the test waits, but no timer is set")
        self.now += timeout + self._lateness
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that starts at time 0 and fires its timers in order, without waiting.

    :param lateness: seconds by which timers fire late, as those of a real loop do.
    """

    def __init__(self, lateness: float = 0.0) -> None:
        self._jumping = _JumpingSelector(lateness)
        super().__init__(self._jumping)
        # Sums of floats miss a deadline by a rounding error. A timer this close counts as due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the virtual time."""
        return self._jumping.now

    def jump(self, delay: float) -> None:
        """Let time pass as while the process is stopped: nothing runs meanwhile."""
        self._jumping.now += delay


def virtual_time(
    test: Callable[..., Coroutine[Any, Any, None]], *, lateness: float = 0.0
) -> Callable[..., None]:
    """Turn an async function into a test that runs on a virtual clock.

    An error in a callback fails the test too.
    """

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        errors: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(lateness)) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
            runner.run(test(*args, **kwargs))
        assert not errors, errors

    return run


async def settle() -> None:
    """Run every callback that is ready. The clock does not move."""
    for _ in range(20):
        await asyncio.sleep(0)


async def seconds(delay: float) -> None:
    """Move the clock by `delay`, and run every callback that becomes ready."""
    await asyncio.sleep(delay)
    await settle()
