"""Passes each event to several sinks."""

from __future__ import annotations

from quictunnel.events import Event, EventSink


class EventFanout:
    """An `EventSink` that passes each event to several sinks, in their order."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = sinks

    def __call__(self, event: Event) -> None:
        """Pass an event to every sink."""
        for sink in self._sinks:
            sink(event)
