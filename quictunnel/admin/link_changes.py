"""Remembers when links fell silent, recovered and moved, for their timelines."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal

import msgspec

from quictunnel.events import Event, LinkMoved, LinkRecovered, LinkSilent, PathKind

MAX_CHANGES = 120
"""Changes that are kept of one link."""

MAX_LINKS = 64
"""Links whose changes are kept. The one whose last change is the oldest is dropped."""

PERIOD = 600.0
"""Seconds that a change is kept."""


class LinkChange(msgspec.Struct, frozen=True, rename={"previous": "from", "current": "to"}):
    """A change of a link that its clients have survived, or may survive."""

    time: float
    """When it was noticed, in seconds since 1970."""
    kind: Literal["silent", "recovered", "moved"]
    """The kind of change."""
    previous: str | None
    """The origin's address before, if it has changed."""
    current: str
    """The origin's address since then."""
    seconds: float | None
    """How long the silence has lasted so far; None for a move without a silence."""
    path: PathKind | None = None
    """The kind of its path since then; None for a silence, which changes nothing."""
    previous_path: PathKind | None = None
    """The kind before, if it was another one."""
    reason: str | None = None
    """Why the kind was changed, as the origin knows it; None if it was not."""


class LinkChanges:
    """An `EventSink` that keeps the changes of the last minutes, by link.

    :param now: returns the time in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._of: OrderedDict[str, deque[LinkChange]] = OrderedDict()

    def __call__(self, event: Event) -> None:
        """Keep an event about a link's path."""
        if isinstance(event, LinkSilent | LinkRecovered | LinkMoved) and not _is_repeated(event):
            changes = self._of.setdefault(event.link, deque(maxlen=MAX_CHANGES))
            self._of.move_to_end(event.link)
            changes.append(_change(event, self._now()))
            if len(self._of) > MAX_LINKS:
                self._of.popitem(last=False)

    def of_link(self, link: str) -> list[LinkChange]:
        """Return the changes of a link in the last `PERIOD`, the oldest first."""
        start = self._now() - PERIOD
        return [change for change in self._of.get(link, ()) if change.time >= start]


def _is_repeated(event: LinkSilent | LinkRecovered | LinkMoved) -> bool:
    return isinstance(event, LinkSilent) and event.is_reminder


def _change(event: LinkSilent | LinkRecovered | LinkMoved, now: float) -> LinkChange:
    if isinstance(event, LinkSilent):
        return LinkChange(now, "silent", None, event.address, event.silent_for)
    silent_for = event.silent_for if isinstance(event, LinkRecovered) else None
    return LinkChange(
        now,
        "moved" if silent_for is None else "recovered",
        event.previous_address,
        event.address,
        silent_for,
        event.path,
        event.previous_path,
        event.path_reason,
    )
