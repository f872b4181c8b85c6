"""Runs a role until it ends by itself or by a signal: the first drains, the second ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Protocol

from quictunnel.observe.logging_setup import fact

_log = logging.getLogger("quictunnel.cli")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the word of whoever runs services, and the end of the terminal: a window is closed."""

ENDING_LIMIT = 3.0
"""Seconds that a role has to end after the second signal: some round trips for its last words."""


class Role(Protocol):
    """What is run: a remote, an origin, or the demo with both."""

    async def start(self) -> None:
        """Begin; return when it is ready to work."""

    async def wait_closed(self) -> None:
        """Return when it has ended, or raise what ended it."""

    def drain(self) -> None:
        """Take no new clients, let the present ones finish within the grace, then end."""

    def abort(self) -> None:
        """End at once."""


async def run(role: Role, started: Callable[[], None] = lambda: None) -> None:
    """Run a role to its end.

    :param started: called once the role is ready.
    :raises QuictunnelError: what the role itself ended with.
    """
    shutdown = _Shutdown(role)
    with _handled(shutdown.on_signal):
        try:
            if await shutdown.allows(role.start()):
                shutdown.is_ready = True
                started()
                await shutdown.allows(role.wait_closed())
        finally:
            # Nothing is left where the role has ended in order; after an error, all goes.
            role.abort()


class _Shutdown:
    """What signals do to a role: break off its start, drain it, abort it, leave it behind."""

    def __init__(self, role: Role) -> None:
        self.is_ready = False
        self._role = role
        self._signals = 0
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def allows(self, step: Coroutine[None, None, None]) -> bool:
        """Await a step; return whether it came to its own end, or signals have cut it short."""
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait({task, self._over}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def on_signal(self, number: signal.Signals) -> None:
        """Go one step further with each signal."""
        if number is signal.SIGHUP and self._signals:
            return  # a terminal's end is told twice, by the shell and by the kernel
        self._signals += 1
        if not self.is_ready or self._signals > 2:
            self._end()
        elif self._signals == 1:
            fact(_log, logging.INFO, "signal", name=number.name, again="ends at once")
            self._role.drain()
        else:
            fact(_log, logging.INFO, "signal, ending at once", name=number.name)
            self._role.abort()
            self._loop.call_later(ENDING_LIMIT, self._end)

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


@contextlib.contextmanager
def _handled(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Have `on_signal` called in the event loop; what was there before comes back at the end."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]  # nohup: it is to outlive its terminal
    for number in before:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
