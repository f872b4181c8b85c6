"""Suspensions of a process, as on a busy machine or a busy host.

Datagrams and timers wait until a suspension ends. Times are in seconds.
"""

from __future__ import annotations

import random
from bisect import bisect_right

SHORTEST, LONGEST = 0.002, 0.012
"""The duration of a suspension. Virtual machines on shared hosts lose their processor for so long.
So do event loops during a garbage collection."""

AT_ONCE = 4
"""Datagrams that a process takes in one turn. After a suspension many of them wait."""

TURN = 0.0002
"""The duration of a turn. A process answers the first datagrams before it reads the last ones."""


class Stops:
    """The suspensions of one process.

    :param often: suspensions per second, on average. 0: none.
    """

    def __init__(self, often: float, seed: int) -> None:
        self._often = often
        self._random = random.Random(seed)
        self._begin, self._end = [0.0], [0.0]

    def awake(self, at: float) -> float:
        """Return when the process runs something due at `at`: then, or after the suspension."""
        if not self._often:
            return at
        while self._end[-1] <= at:
            begin = self._end[-1] + self._random.expovariate(self._often)
            self._begin.append(begin)
            self._end.append(begin + self._random.uniform(SHORTEST, LONGEST))
        return max(at, self._end[bisect_right(self._begin, at) - 1])

    def portion(self, waiting: int) -> int:
        """Return how many of the waiting datagrams the process takes in this turn."""
        return min(waiting, AT_ONCE) if self._often else waiting
