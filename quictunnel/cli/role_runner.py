"""Runs a role until it ends or signals end it: the first drains it, the second aborts it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Protocol

from quictunnel.cli.output import in_background
from quictunnel.cli.prepared import PreparedRole
from quictunnel.cli.reload import Reload
from quictunnel.cli.run_control import RunControl
from quictunnel.cli.service_notices import ServiceNotices
from quictunnel.events import EventSink, SignalReceived
from quictunnel.snapshots import ObservedRole

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a role: Ctrl-C, a service manager's stop, and a closed terminal."""

REOPEN_SIGNAL = signal.SIGUSR1
"""Signal that asks for new log files, as logrotate sends it. It never ends a role."""

ABORT_TIMEOUT = 3.0
"""Seconds that an aborted role has to end: some round trips for its last packets."""


class Role(Protocol):
    """A remote, an origin, or the demo with both."""

    async def start(self) -> None:
        """Start, and return when the role works."""

    async def wait_closed(self) -> None:
        """Return when the role has ended, or raise the error that ended it."""

    def drain(self) -> None:
        """Accept no new clients, let current ones finish within the grace, then end."""

    def abort(self) -> None:
        """End at once."""


async def run(
    role: Role,
    started: Callable[[], None] = lambda: None,
    *,
    emit: EventSink,
    reload: Reload | None = None,
    apply: Callable[[PreparedRole], Iterable[str]] = lambda _: (),
    control: RunControl | None = None,
    watch: Callable[[], Coroutine[None, None, None]] | None = None,
    reopen: Callable[[], None] = lambda: None,
    observed: ObservedRole | None = None,
) -> None:
    """Run a role to its end.

    :param started: called when the role works.
    :param reload: reloads the role's configuration file; None without one.
    :param apply: applies the settings of a reload; returns the fields that need a restart.
    :param control: gets the means to drain and to reload the role.
    :param watch: watches something else until it is cancelled, from when the role works.
    :param reopen: opens log files again, on SIGUSR1.
    :param observed: describes the role for the service manager; None if it does not.
    :raises QuictunnelError: the error that ended the role.
    """
    notices = ServiceNotices.from_environment(observed, emit=emit)

    def reload_now(changed: Reload, report: EventSink) -> None:
        with notices.reloading():
            changed.reload(apply, report)

    hangup = None
    if reload is not None and reload.takes_hangup:
        hangup = partial(reload_now, reload, emit)
    shutdown = _Shutdown(role, emit, hangup, notices.stopping)
    if control is not None:
        control.connect(
            shutdown.drain, None if reload is None else partial(reload_now, reload), emit
        )
    watches: list[asyncio.Task[None]] = []
    with in_background(), notices.running(), _handled(shutdown.on_signal, reopen):
        try:
            if await shutdown.run_step(role.start()):
                # These objects live until the end, and a collection that looks at all of them stops
                # the event loop for tens of milliseconds.
                gc.freeze()
                shutdown.is_ready = True
                started()
                notices.started()
                if reload is not None:
                    watches.append(
                        asyncio.create_task(reload.watch(apply, emit), name="configuration")
                    )
                if watch is not None:
                    watches.append(asyncio.create_task(watch(), name="watch"))
                await shutdown.run_step(role.wait_closed())
        finally:
            for task in watches:
                task.cancel()
            # After an orderly end this does nothing. After an error it closes everything.
            role.abort()


class _Shutdown:
    """Applies signals to a role: cancel its start, drain it, abort it, abandon it.

    :param on_hangup: called on SIGHUP once the role is ready; None if SIGHUP ends the role.
    :param on_stop: called when a signal has ended a role that was ready.
    """

    def __init__(
        self,
        role: Role,
        emit: EventSink,
        on_hangup: Callable[[], None] | None,
        on_stop: Callable[[], None],
    ) -> None:
        self.is_ready = False
        self._role = role
        self._emit = emit
        self._on_hangup = on_hangup
        self._on_stop = on_stop
        self._signals = 0
        self._loop = asyncio.get_running_loop()
        self._abandoned: asyncio.Future[None] = self._loop.create_future()

    async def run_step(self, step: Coroutine[None, None, None]) -> bool:
        """Await a step. Return False if signals have cancelled it."""
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait({task, self._abandoned}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def on_signal(self, number: signal.Signals) -> None:
        """Take the next step of the shutdown."""
        if number is signal.SIGHUP and self._on_hangup is not None:
            if self.is_ready:
                self._on_hangup()
            return
        if number is signal.SIGHUP and self._signals:
            return  # both the shell and the kernel signal that a terminal has closed
        self._signals += 1
        if not self.is_ready or self._signals > 2:
            self._abandon()
            return
        self._emit(SignalReceived(number.name))
        if self._signals == 1:
            self._role.drain()
        else:
            self._role.abort()
            self._loop.call_later(ABORT_TIMEOUT, self._abandon)
        self._on_stop()

    def drain(self) -> None:
        """Do what the first signal does. The next one then aborts the role."""
        if self.is_ready and not self._signals:
            self._signals = 1
            self._role.drain()
            self._on_stop()

    def _abandon(self) -> None:
        if not self._abandoned.done():
            self._abandoned.set_result(None)


@contextlib.contextmanager
def _handled(
    on_signal: Callable[[signal.Signals], None], reopen: Callable[[], None]
) -> Iterator[None]:
    """Call these functions from the event loop, and restore the previous handlers at the end."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (*SIGNALS, REOPEN_SIGNAL)}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]  # started by nohup: ignore the terminal's end
    for number in before:
        if number is REOPEN_SIGNAL:
            loop.add_signal_handler(number, reopen)
        else:
            loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
