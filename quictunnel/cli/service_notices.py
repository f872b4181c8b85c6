"""Tells the service manager whether a role works, what it does, and that its event loop runs."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from quictunnel.cli import notify_socket
from quictunnel.cli.notify_socket import NotifySocket, open_notify_socket, watchdog_interval
from quictunnel.cli.readable import counted, path_name
from quictunnel.config.files import why
from quictunnel.escaping import escape
from quictunnel.events import (
    EventSink,
    InternalErrorOccurred,
    PathKind,
    ServiceManagerUnreachable,
)
from quictunnel.snapshots import LinkSnapshot, ObservedRole, RoleSnapshot

INTERVAL = 5.0
"""Seconds between two looks at the role, and the least time between two changes of the status."""

FIRST_INTERVAL = 0.1
"""Seconds between two looks at a role until it is reported as ready."""

CONNECT_PATIENCE = 5.0
"""Seconds after which an origin counts as started although it is not connected. A boot must not
wait for a network that is down."""

STOP_TIMEOUT = 20.0
"""Seconds that the manager gives a draining role, counted anew with each look at the role."""

BEATS_PER_WATCHDOG = 3
"""Signs of life that are sent in the time in which the watchdog expects one."""


@dataclass(frozen=True, slots=True)
class _Observation:
    """A role and its links at one moment."""

    role: RoleSnapshot
    links: tuple[LinkSnapshot, ...]


class ServiceNotices:
    """The messages of one role to its service manager. Without a manager, nothing is sent.

    :param role: the role that the messages are about; None for one that is not observed.
    :param channel: the manager's socket; None without a manager.
    :param watchdog: seconds within which the watchdog expects a sign; None without a watchdog.
    """

    def __init__(
        self,
        role: ObservedRole | None,
        channel: NotifySocket | None,
        watchdog: float | None,
        *,
        emit: EventSink,
    ) -> None:
        self._role = role
        self._channel = channel
        self._watchdog = watchdog
        self._emit = emit
        self._interval = INTERVAL
        if watchdog is not None:
            self._interval = min(INTERVAL, watchdog / BEATS_PER_WATCHDOG)
        self._status = ""
        self._unsent: dict[str, str] = {}
        """Lines by their name that the manager must still get, because their message failed."""
        self._ready_by: float | None = None
        """When the role counts as ready at the latest; None before its start and once it does."""
        self._is_stopping = False
        self._has_failed = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def from_environment(cls, role: ObservedRole | None, *, emit: EventSink) -> Self:
        """Return the notices for the manager that the environment names, if it names one.

        :raises SettingsError: the environment has a value that cannot be used.
        """
        watchdog = watchdog_interval(os.environ)
        return cls(role, open_notify_socket(os.environ), watchdog, emit=emit)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Close the socket at the end of this context, and send nothing after it."""
        if self._channel is None:
            yield
            return
        # The watchdog ends a process with SIGABRT. The journal then shows where it hung.
        reports_hangs = self._watchdog is not None and not faulthandler.is_enabled()
        if reports_hangs:
            faulthandler.enable(sys.__stderr__ or 2)
        try:
            yield
        finally:
            self._stop_timer()
            self._channel.close()
            self._channel = None
            if reports_hangs:
                faulthandler.disable()

    def started(self) -> None:
        """Report the role as ready as soon as it is, and its status from then on."""
        if self._channel is not None:
            self._ready_by = asyncio.get_running_loop().time() + CONNECT_PATIENCE
            self._look()

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the configuration is read again in this context."""
        self._send(notify_socket.reloading())
        try:
            yield
        finally:
            self._send(notify_socket.READY)

    def stopping(self) -> None:
        """Report that the role ends, and ask for the time that its clients may take."""
        if self._channel is not None and not self._is_stopping:
            self._is_stopping = True
            self._send(notify_socket.STOPPING, *self._state(self._observe()))

    def _look(self) -> None:
        """Send what has changed, and a sign of life. The event loop calls this again and again."""
        loop = asyncio.get_running_loop()
        observed = self._observe()
        if observed is not None and observed.role.is_draining:
            self.stopping()
        lines = [] if self._watchdog is None else [notify_socket.WATCHDOG]
        if self._ready_by is not None and (
            observed is None or observed.role.is_ready or loop.time() >= self._ready_by
        ):
            self._ready_by = None
            lines.append(notify_socket.READY)
        self._send(*lines, *self._state(observed))
        interval = self._interval if self._ready_by is None else FIRST_INTERVAL
        self._timer = loop.call_later(interval, self._look)

    def _observe(self) -> _Observation | None:
        """Return the state of the role, or None if there is no role to observe."""
        if self._role is None:
            return None
        try:
            return _Observation(self._role.describe(), tuple(self._role.list_links()))
        except Exception as exc:  # a bug there must not look like an event loop that hangs
            self._emit(InternalErrorOccurred("describing the role to systemd", exc, None))
            return None

    def _state(self, observed: _Observation | None) -> list[str]:
        """Return the lines about the state of the role, as far as they have changed."""
        lines = []
        if self._is_stopping:
            lines.append(notify_socket.extend_timeout(STOP_TIMEOUT))
        if observed is not None:
            status = notify_socket.status(describe(observed.role, observed.links))
            if status != self._status:
                self._status = status
                lines.append(status)
        return lines

    def _send(self, *lines: str) -> None:
        """Send lines. If this fails, those that say something new are sent with the next ones."""
        if self._channel is None:
            return
        new = {line.partition("=")[0]: line for line in lines}
        message = self._unsent | new
        if not message:
            return
        try:
            self._channel.send(*message.values())
        except OSError as exc:
            message.pop(notify_socket.WATCHDOG.partition("=")[0], None)
            self._unsent = message
            if not self._has_failed:
                self._has_failed = True
                self._emit(ServiceManagerUnreachable(why(exc)))
            return
        self._unsent = {}
        self._has_failed = False

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def describe(role: RoleSnapshot, links: Sequence[LinkSnapshot]) -> str:
    """Return a short sentence about what a role does now."""
    clients = counted(role.clients, "client")
    if role.is_draining:
        return f"stopping: {clients} may finish"
    if not role.is_ready and role.reason:
        return escape(f"{role.reason}; {clients}")
    silent = sum(link.silent_for is not None for link in links)
    if role.role == "origin":
        where = ", ".join(dict.fromkeys(link.peer for link in links if not link.is_draining))
        others = {link.path for link in links if not link.is_draining} - {PathKind.UDP}
        path = "".join(f" over {path_name(kind)}" for kind in sorted(others))
        return escape(f"connected to {where}{path}; {clients}")
    origins = counted(len(links), "origin") if links else "no origin"
    held = f" ({silent} silent)" if silent else ""
    return f"{origins} connected{held}; {clients}"
