"""Runs a role until it ends by itself or by a signal: the first drains, the second ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Protocol

from quictunnel.observe.logs import fact

_log = logging.getLogger("quictunnel.cli")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    starting = asyncio.ensure_future(role.start())
    shutdown = _Shutdown(role, starting)
    with _handled(shutdown.on_signal):
        try:
            await starting
            started()
            await role.wait_closed()
        except asyncio.CancelledError:
            # A signal before all was ready; anything else that cancels us is not ours to hide.
            if not shutdown.signals or not starting.cancelled():
                raise
        finally:
            # Nothing is left where the role has ended in order; after an error, all goes.
            role.abort()


class _Shutdown:
    """What signals do to a role: break off its start, drain it, abort it."""

    def __init__(self, role: Role, starting: asyncio.Future[None]) -> None:
        self.signals = 0
        self._role = role
        self._starting = starting

    def on_signal(self, number: signal.Signals) -> None:
        self.signals += 1
        if not self._starting.done():
            self._starting.cancel()
        elif self.signals == 1:
            fact(_log, logging.INFO, "signal", name=number.name, again="ends at once")
            self._role.drain()
        else:
            fact(_log, logging.INFO, "signal, ending at once", name=number.name)
            self._role.abort()


@contextlib.contextmanager
def _handled(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Have `on_signal` called in the event loop; what was there before comes back at the end."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
