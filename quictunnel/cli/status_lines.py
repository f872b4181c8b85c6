"""Prints the events that concern the user: `silent`, `back`, `moved`, `lost` and a few more.

Each is one line on standard output. The log has the same events with all their fields.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from quictunnel.cli.logging_setup import LogLevel
from quictunnel.cli.output import print_if_writable
from quictunnel.cli.readable import counted, path_name
from quictunnel.config.secret_strength import MIN_BITS
from quictunnel.config.units import format_duration
from quictunnel.escaping import escape
from quictunnel.events import (
    AccessLogLinesLost,
    AccessLogNotReopened,
    ConfigurationRejected,
    ConfigurationReloaded,
    DrainStarted,
    Event,
    LinkDropped,
    LinkMoved,
    LinkRecovered,
    LinkSilent,
    LoopSuspected,
    OriginServerMissing,
    PolicyUnused,
    SecretWeak,
    ServiceHealthy,
    ServiceNotGranted,
    ServicesLeftOut,
    ServiceUnhealthy,
    TokenExpired,
    UnhealthyReasonChanged,
    WebSocketNotOpened,
)
from quictunnel.observe.event_log import EventLog

LineFormats: TypeAlias = Mapping[type[Event], Callable[[Any], str | Sequence[str] | None]]
"""For each kind of event that has a line: a function that returns the line, several lines, or None
if this event has none."""

MAX_SECONDS = 100
"""Durations from here on are written with minutes and hours."""


class StatusLines:
    """An `EventSink` that prints some events for the user and logs the others.

    :param logger: the logger's name.
    :param formats: the lines that the role prints.
    :param log_level: the `--log-level`, if one was given. Printed events are logged too, unless
        they would appear twice on a terminal by default.
    :param without: events that are not logged, because another log has them.
    """

    def __init__(
        self,
        logger: str,
        formats: LineFormats,
        log_level: LogLevel | None,
        without: Collection[type[Event]] = frozenset(),
    ) -> None:
        self._log = EventLog(logging.getLogger(logger), without)
        on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        self._logs_printed = log_level is not None or not on_terminal
        self._formats = dict(formats)
        if not on_terminal:
            self._formats.pop(OriginServerMissing, None)  # scripts read the other lines only

    def __call__(self, event: Event) -> None:
        """Print and log an event. Drop its line if standard output would block or fails."""
        self.show(event, print_if_writable)

    def show(self, event: Event, print_line: Callable[[str], object]) -> None:
        """Log an event, and print its lines with `print_line`."""
        format_line = self._formats.get(type(event))
        line = format_line(event) if format_line else None
        if not line or self._logs_printed:
            self._log(event)
        if line:
            for each in [line] if isinstance(line, str) else line:
                print_line(escape(each))


def _origin_lost(event: LinkDropped) -> str | None:
    if event.silent_for is None:
        return None  # origins come and go; only an end that follows a `silent` line is news
    silence = f"{_duration(event.silent_for)} of silence"
    return f"lost: origin {event.origin} after {silence}: {event.reason}"


def _remote_lost(event: LinkDropped) -> str:
    silence = event.silent_for and f" (after {_duration(event.silent_for)} of silence)"
    return f"lost: {event.reason}{silence or ''}; reconnecting"


def _stopping(event: DrainStarted) -> str | None:
    if not event.clients:
        return None
    clients = counted(event.clients, "client")
    return (
        f"stopping: {clients} may finish within {_duration(event.grace)}; "
        "press Ctrl-C again to stop at once"
    )


def _link_line(event: LinkSilent | LinkRecovered, link: str) -> str | None:
    connections = counted(event.clients, "connection")
    silent_for = _duration(event.silent_for)
    if isinstance(event, LinkRecovered):
        path = f" over {path_name(event.path)}" if event.previous_path else ""
        was = f" (was {event.previous_address})" if event.previous_address else ""
        where = f"{event.address}{path}{was}"
        return f"back: {link} back after {silent_for} on {where}, {connections} kept"
    if event.is_reminder:
        return None
    held = f"{connections} held for up to {format_duration(event.hold_left // 1)}"
    return f"silent: {link} silent for {silent_for}, {held}"


def _moved(event: LinkMoved, link: str) -> str | None:
    if event.previous_path is None:
        return None  # another address is no news: the link was not silent
    path, connections = path_name(event.path), counted(event.clients, "connection")
    reason = f": {event.path_reason}" if event.path_reason else ""
    return f"moved: {link} continues over {path}, {connections} kept{reason}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < MAX_SECONDS else format_duration(round(seconds))


def _left_out(event: ServicesLeftOut) -> str:
    more = f" and {event.count - 1} more" if event.count > 1 else ""
    return (
        f"refused: service {event.service}{more}: "
        f"the remote is older and accepts {event.limit} services"
    )


def _reloaded(event: ConfigurationReloaded) -> str:
    keys = ", ".join(event.restart_needed)
    return f"reloaded: {event.file}" + (f"; restart to apply {keys}" if keys else "")


def _rejected(event: ConfigurationRejected) -> str:
    return f"warning: {event.reason}; the old configuration stays in use"


def _unhealthy(event: ServiceUnhealthy | UnhealthyReasonChanged) -> str:
    reason = f"{event.reason}; withdrawn until the check succeeds"
    return f"unhealthy: service {event.service}: {reason}"


def _access_log_lost(event: AccessLogLinesLost) -> str:
    lines = counted(event.count, "line")
    return f"warning: the access log {event.file} lacks {lines}: {event.reason}"


def _access_log_not_reopened(event: AccessLogNotReopened) -> str:
    return (
        f"warning: the access log {event.file} cannot be opened again: {event.reason}; "
        "its lines go to the old file"
    )


def expired_line(event: TokenExpired) -> str:
    """Return the line for a token that has expired."""
    return f"warning: token.{event.token} has expired"


def weak_line(event: SecretWeak) -> str:
    """Return the line for a token whose secret is easy to guess."""
    return (
        f"warning: the secret of token {event.token} is easy to guess: it has about {event.bits} "
        f"bits, and should have {MIN_BITS}; 'quictunnel token new' creates a good one"
    )


def unused_line(event: PolicyUnused) -> str:
    """Return the line for a policy that is for no place."""
    return f"warning: policy.{event.policy} is for no place: {event.reason}"


REMOTE_LINES: LineFormats = {
    AccessLogLinesLost: _access_log_lost,
    AccessLogNotReopened: _access_log_not_reopened,
    ConfigurationRejected: _rejected,
    ConfigurationReloaded: _reloaded,
    DrainStarted: _stopping,
    LinkDropped: _origin_lost,
    LinkMoved: lambda event: _moved(event, f"link of origin {event.origin}"),
    LinkRecovered: lambda event: _link_line(event, f"link of origin {event.origin}"),
    LinkSilent: lambda event: _link_line(event, f"link of origin {event.origin}"),
    PolicyUnused: unused_line,
    SecretWeak: weak_line,
    TokenExpired: expired_line,
}
"""The lines of a remote."""

ORIGIN_LINES: LineFormats = {
    AccessLogLinesLost: _access_log_lost,
    AccessLogNotReopened: _access_log_not_reopened,
    ConfigurationRejected: _rejected,
    ConfigurationReloaded: _reloaded,
    DrainStarted: _stopping,
    LinkDropped: _remote_lost,
    LinkMoved: lambda event: _moved(event, "link"),
    LinkRecovered: lambda event: _link_line(event, "link"),
    LinkSilent: lambda event: _link_line(event, "link"),
    SecretWeak: weak_line,
    ServiceNotGranted: lambda event: f"refused: service {event.service}: {event.reason}",
    ServicesLeftOut: _left_out,
    ServiceHealthy: lambda event: (
        f"healthy: service {event.service}: offered again after {_duration(event.duration)}"
    ),
    ServiceUnhealthy: _unhealthy,
    LoopSuspected: lambda event: (
        f"warning: service {event.service}: {event.target} is probably {event.where} of the remote "
        "on this machine, so clients would go round in a loop; give the server a port of its own"
    ),
    UnhealthyReasonChanged: _unhealthy,
    WebSocketNotOpened: lambda event: f"warning: {event.reason}; trying again",
    OriginServerMissing: lambda event: (
        f"warning: nothing listens at {event.target} yet; start your server there"
    ),
}
"""The lines of an origin, except for `ready`."""
