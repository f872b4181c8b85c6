"""Prints the events that concern the user: `silent`, `back`, `lost`, `stopping`, and a few more.

Each is one line on standard output. The log has the same events with all their fields.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeAlias

from quictunnel.cli.logging_setup import LogLevel
from quictunnel.cli.output import print_if_writable
from quictunnel.config.units import format_duration
from quictunnel.events import (
    DrainStarted,
    Event,
    LinkDropped,
    LinkRecovered,
    LinkSilent,
    OriginServerMissing,
)
from quictunnel.observe.event_log import EventLog
from quictunnel.observe.log_format import escape

LineFormat: TypeAlias = Callable[[Event], str | None]

MAX_SECONDS = 100
"""Durations from here on are written with minutes and hours."""


class StatusLines:
    """An `EventSink` that prints some events for the user and logs the others.

    :param logger: the logger's name.
    :param format_line: returns an event's line, or None if it has none.
    :param log_level: the `--log-level`, if one was given. Printed events are logged too, unless
        they would appear twice on a terminal by default.
    """

    def __init__(self, logger: str, format_line: LineFormat, log_level: LogLevel | None) -> None:
        self._log = EventLog(logging.getLogger(logger))
        self._format_line = format_line
        self._on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        self._logs_printed = log_level is not None or not self._on_terminal

    def __call__(self, event: Event) -> None:
        """Print and log an event. Drop its line if standard output would block or fails."""
        self.show(event, print_if_writable)

    def show(self, event: Event, print_line: Callable[[str], None]) -> None:
        """Log an event, and print its line with `print_line`."""
        line = self._format_line(event)
        if isinstance(event, OriginServerMissing) and not self._on_terminal:
            line = None  # scripts read the other lines only
        if line is None or self._logs_printed:
            self._log(event)
        if line is not None:
            print_line(escape(line))


def remote_line(event: Event) -> str | None:
    """Return the line that a remote prints for an event."""
    if isinstance(event, LinkDropped):
        if event.silent_for is None:
            return None  # origins come and go; only an end that follows a `silent` line is news
        silence = f"{_duration(event.silent_for)} of silence"
        return f"lost: origin {event.origin} after {silence}: {event.reason}"
    if isinstance(event, LinkSilent | LinkRecovered):
        return _link_line(event, f"link of origin {event.origin}")
    return _drain_line(event)


def origin_line(event: Event) -> str | None:
    """Return the line that an origin prints for an event, except for `ready`."""
    if isinstance(event, LinkDropped):
        silence = event.silent_for and f" (after {_duration(event.silent_for)} of silence)"
        return f"lost: {event.reason}{silence or ''}; reconnecting"
    if isinstance(event, LinkSilent | LinkRecovered):
        return _link_line(event, "link")
    if isinstance(event, OriginServerMissing):
        return f"warning: nothing listens at {event.target} yet; start your server there"
    return _drain_line(event)


def _drain_line(event: Event) -> str | None:
    """Return the line for a drain with clients."""
    if not isinstance(event, DrainStarted) or not event.clients:
        return None
    clients = "1 client" if event.clients == 1 else f"{event.clients} clients"
    return (
        f"stopping: {clients} may finish within {_duration(event.grace)}; "
        "press Ctrl-C again to stop at once"
    )


def _link_line(event: LinkSilent | LinkRecovered, link: str) -> str | None:
    connections = "1 connection" if event.clients == 1 else f"{event.clients} connections"
    silent_for = _duration(event.silent_for)
    if isinstance(event, LinkRecovered):
        was = f" (was {event.previous_address})" if event.previous_address else ""
        return f"back: {link} back after {silent_for} on {event.address}{was}, {connections} kept"
    if event.is_reminder:
        return None
    held = f"{connections} held for up to {format_duration(event.hold_left // 1)}"
    return f"silent: {link} silent for {silent_for}, {held}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < MAX_SECONDS else format_duration(round(seconds))
