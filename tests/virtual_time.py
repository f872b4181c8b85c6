"""An event loop whose clock jumps: a test about minutes takes none, and no test depends on speed.

Time stands still while anything is ready to run; when nothing is, it jumps to the next timer.
For tests without sockets and threads: of what happens outside the process it knows nothing.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nobody; tells by how much time the loop wished to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise RuntimeError("the test waits for what can never happen: no timer is set")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop at time 0 whose timers fire in order, without any waiting."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # A timer is due when it lies this close: adding up floats never quite meets it.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.now


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test out of an async function, run on a loop of virtual time.

    What goes wrong in a callback fails the test too.
    """

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        errors: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
            runner.run(test(*args, **kwargs))
        assert not errors, errors

    return run


async def settle() -> None:
    """Let everything run that is ready to run; the clock does not move."""
    for _ in range(20):
        await asyncio.sleep(0)


async def seconds(delay: float) -> None:
    """Let so much time go by, and let everything run that it sets off."""
    await asyncio.sleep(delay)
    await settle()
