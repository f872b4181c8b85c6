"""Keeps the last events with their numbers and times, and notifies subscribers of new ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import islice

from quictunnel.events import (
    ClientAccepted,
    ClientClosed,
    ConnectFailed,
    Event,
    InternalErrorOccurred,
)
from quictunnel.observe.log_format import first_items

CLIENT_EVENTS = 500
"""Kept events of a kind that each client may cause. They displace no other events."""

OTHER_EVENTS = 500
"""Kept events of all other kinds."""

_PER_CLIENT = frozenset({ClientAccepted, ClientClosed, ConnectFailed})


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event with its place among the events of this process."""

    number: int
    """Its number. Each event has the next number."""
    time: float
    """When it was emitted, in seconds since 1970."""
    event: Event
    """The event. The exception of an internal error is reduced to its name, and a long list of
    services to its first items."""


class EventHistory:
    """An `EventSink` that keeps the last events.

    It costs little for each event: consumers read the events when they want to, from the number
    that they have seen last. The numbers begin with the present time in milliseconds. So the
    numbers of a process are larger than those of an earlier one, and a consumer that reconnects to
    a restarted role misses nothing.

    :param first: the number of the first event; None for the present time.
    """

    def __init__(self, first: int | None = None) -> None:
        self._last = (int(time.time() * 1000) if first is None else first) - 1
        self._clients: deque[NumberedEvent] = deque(maxlen=CLIENT_EVENTS)
        self._others: deque[NumberedEvent] = deque(maxlen=OTHER_EVENTS)
        self._subscribers: dict[object, tuple[Callable[[], None], Collection[type[Event]]]] = {}

    def __call__(self, event: Event) -> None:
        """Keep an event, and notify the subscribers."""
        self._last += 1
        kept = self._clients if type(event) in _PER_CLIENT else self._others
        if isinstance(event, InternalErrorOccurred):
            event = _without_frames(event)
        elif kept is self._others:
            event = _with_short_list(event)
        kept.append(NumberedEvent(self._last, time.time(), event))
        for notify, excluded in self._subscribers.values():
            if type(event) not in excluded:
                notify()

    @property
    def last(self) -> int:
        """The number of the last event, or the number before the first one."""
        return self._last

    def after(
        self, number: int, excluded: Collection[type[Event]] = frozenset()
    ) -> list[NumberedEvent]:
        """Return the kept events that follow a number, the oldest first.

        :param number: one of this history. After one of another history, which is larger than
            `last`, all kept events follow.
        :param excluded: types of events to leave out.
        """
        if number > self._last:
            number = 0
        found = _after(self._clients, number) + _after(self._others, number)
        if excluded:
            found = [entry for entry in found if type(entry.event) not in excluded]
        found.sort(key=_number)  # two sorted runs, which take linear time
        return found

    def recent(self, count: int) -> list[NumberedEvent]:
        """Return the last events, the oldest first, at most `count` of them."""
        return self.after(0)[-count:] if count > 0 else []

    def subscribe(
        self, notify: Callable[[], None], excluded: Collection[type[Event]] = frozenset()
    ) -> Callable[[], None]:
        """Call `notify` after each event.

        :param notify: returns at once and raises nothing.
        :param excluded: types of events without a call. A busy role has thousands a second.
        :return: a function that ends the subscription.
        """
        key = object()
        self._subscribers[key] = notify, excluded

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe


def _number(entry: NumberedEvent) -> int:
    return entry.number


def _after(entries: deque[NumberedEvent], number: int) -> list[NumberedEvent]:
    """Return the entries with a larger number. It takes time only for these."""
    count = 0
    for entry in reversed(entries):
        if entry.number <= number:
            break
        count += 1
    return list(islice(entries, len(entries) - count, None))


def _with_short_list(event: Event) -> Event:
    """Return the event with its list of services as the log shows it.

    A peer can have a thousand services, and change them again and again.
    """
    services = getattr(event, "services", None)
    if not isinstance(services, tuple) or (shown := first_items(services)) is services:
        return event
    return replace(event, services=shown)  # type: ignore[call-arg]


def _without_frames(event: InternalErrorOccurred) -> InternalErrorOccurred:
    """Return the event with an exception that keeps no frames, and so no buffers, in memory."""
    return replace(event, exception=RuntimeError(type(event.exception).__name__))
