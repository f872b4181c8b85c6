"""Which run of an origin was the last to come: one whose place another has taken stays away.

The loser of a take-over is told, but word of it may get lost with the network; it would come back
then, and take its place again. It is known here by the run that its hello names.
"""

from __future__ import annotations

from collections.abc import Hashable

RUNS_MAX = 16
"""Runs that are remembered of one origin, the latest: more do not sleep somewhere at a time."""

ORIGINS_MAX = 1024
"""Origins of which they are: as many as may have links."""


class SupersededInstances:
    """The runs of each origin in the order in which they came."""

    def __init__(self) -> None:
        self._runs: dict[Hashable, list[str]] = {}

    def is_past(self, origin: Hashable, run: str) -> bool:
        """Return whether another run has come after this one; one without a name is never known."""
        return run != "" and run in self._runs.get(origin, [])[:-1]

    def came(self, origin: Hashable, run: str) -> None:
        """Note that this run is the last to have come."""
        runs = [other for other in self._runs.pop(origin, []) if other != run]
        self._runs[origin] = [*runs, run][-RUNS_MAX:]
        if len(self._runs) > ORIGINS_MAX:
            del self._runs[next(iter(self._runs))]
