"""Remembers the instances of each origin that a later instance has superseded.

A superseded instance is told so, but the message may be lost with the network. Without this memory
the instance would reconnect and take over again.
"""

from __future__ import annotations

from collections.abc import Hashable

MAX_INSTANCES = 16
"""Instances remembered per origin. More suspended copies of one origin at a time are unlikely."""

MAX_ORIGINS = 1024
"""Origins whose instances are remembered: as many as may have links at a time."""


class SupersededInstances:
    """The instances of each origin, in the order in which they connected."""

    def __init__(self) -> None:
        self._instances: dict[Hashable, list[str]] = {}

    def is_superseded(self, origin: Hashable, instance: str) -> bool:
        """Return whether another instance has connected since; never for an unnamed instance."""
        return instance != "" and instance in self._instances.get(origin, [])[:-1]

    def record(self, origin: Hashable, instance: str) -> None:
        """Record that this instance is the last to have connected."""
        others = [other for other in self._instances.pop(origin, []) if other != instance]
        self._instances[origin] = [*others, instance][-MAX_INSTANCES:]
        if len(self._instances) > MAX_ORIGINS:
            del self._instances[next(iter(self._instances))]
