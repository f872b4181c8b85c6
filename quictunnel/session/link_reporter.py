"""Reports what happens to an established link as events: silent, recovered, moved, dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quictunnel.events import (
    EventSink,
    LinkDropped,
    LinkEnding,
    LinkMoved,
    LinkRecovered,
    LinkSilent,
    PathKind,
)
from quictunnel.quic.link import Link

REMINDERS = (60.0, 300.0)
"""Seconds of silence after which the silence is reported again."""

REMINDER_INTERVAL = 900.0
"""Seconds between later reminders. An outage of a night fills a page of the log at most."""

MOVE_DELAY = 1.0
"""Seconds over which moves are joined into one event. A flapping network must not fill the log."""


class LinkReporter:
    """Reports the life of one link, from the establishment of its session on.

    :param link_id: identifies the link in events.
    :param origin: the name of the link's origin.
    :param token: the id of its token, if it has one.
    :param locate: returns the origin's current address, as this end sees it.
    :param count_clients: returns the number of the link's clients.
    """

    def __init__(
        self,
        link: Link,
        emit: EventSink,
        *,
        link_id: str,
        origin: str,
        token: str | None,
        locate: Callable[[], str],
        count_clients: Callable[[], int],
    ) -> None:
        self._link = link
        self._emit = emit
        self._link_id = link_id
        self._identity = (origin, token)
        self._locate = locate
        self._count_clients = count_clients
        self._loop = asyncio.get_running_loop()
        self._address = locate()
        self._path = link.path_kind
        self._silent_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def silent_for(self) -> float | None:
        """Seconds since the peer was last heard; None while it is not silent."""
        if self._silent_since is None:
            return None
        return round(self._loop.time() - self._silent_since, 1)

    def link_silent(self) -> None:
        """Report that the peer does not answer, and remind of it from time to time."""
        since = self._link.silent_since
        self._silent_since = self._loop.time() if since is None else since
        self._report_silence(is_reminder=False)
        self._schedule_reminder(self._silent_since, self._loop.time() - self._silent_since)

    def link_back(self) -> None:
        """Report that the peer has answered again, and its path if that is another one."""
        silent_for = self.silent_for
        if silent_for is None:
            return
        self._silent_since = None
        self.stop()
        previous_address, previous_path, reason = self._update_path()
        self._emit(
            LinkRecovered(
                *self._identity,
                self._address,
                previous_address,
                silent_for,
                self._count_clients(),
                self._link_id,
                self._path,
                previous_path,
                reason,
            )
        )

    def link_moved(self) -> None:
        """Report another path soon, unless the link is silent: its recovery reports it then."""
        if self._silent_since is None and self._timer is None:
            self._timer = self._loop.call_later(MOVE_DELAY, self._report_move)

    def link_dropped(self, reason: str, kind: LinkEnding) -> None:
        """Report that the link is lost."""
        silent_for = self.silent_for
        self._emit(
            LinkDropped(*self._identity, self._address, reason, silent_for, kind, self._link_id)
        )

    def stop(self) -> None:
        """Cancel pending reports."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- Inside

    def _report_silence(self, *, is_reminder: bool) -> None:
        silent_for = self.silent_for or 0.0
        hold_left = max(0.0, round(self._link.hold - silent_for, 1))
        self._emit(
            LinkSilent(
                *self._identity,
                self._address,
                silent_for,
                self._count_clients(),
                hold_left,
                is_reminder,
                self._link_id,
            )
        )

    def _schedule_reminder(self, since: float, elapsed: float) -> None:
        """Report a silence again when it has lasted for the first time in the list after now."""
        regular = REMINDER_INTERVAL * (elapsed // REMINDER_INTERVAL + 1)
        due = next((reminder for reminder in REMINDERS if reminder > elapsed), regular)
        self.stop()
        self._timer = self._loop.call_at(since + due, self._remind, since, due)

    def _remind(self, since: float, elapsed: float) -> None:
        self._report_silence(is_reminder=True)
        self._schedule_reminder(since, elapsed)

    def _report_move(self) -> None:
        self._timer = None
        previous_address, previous_path, reason = self._update_path()
        if previous_address is not None or previous_path is not None:
            self._emit(
                LinkMoved(
                    *self._identity,
                    self._address,
                    previous_address,
                    self._count_clients(),
                    self._link_id,
                    self._path,
                    previous_path,
                    reason,
                )
            )

    def _update_path(self) -> tuple[str | None, PathKind | None, str | None]:
        """Look at the link's path.

        :return: the address and the kind of path as reported before, each None if it is the same,
            and why the kind is another one, if this end knows it.
        """
        address, self._address = self._address, self._locate()
        path, self._path = self._path, self._link.path_kind
        has_other_kind = path != self._path
        return (
            None if address == self._address else address,
            path if has_other_kind else None,
            self._link.path_reason or None if has_other_kind else None,
        )
