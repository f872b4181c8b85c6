"""Processes that stand still now and then: a machine is busy, or its host is.

What comes meanwhile waits for them, and so do their timers. Times are numbers in seconds.
"""

from __future__ import annotations

import random
from bisect import bisect_right

SHORTEST, LONGEST = 0.002, 0.012
"""Seconds. Virtual machines on shared hosts lose their processor for so long, and event loops that
collect garbage or serve others."""

AT_ONCE = 4
"""Datagrams that a process takes in a turn: who has slept meets many of them, ..."""

TURN = 0.0002
"""... and answers the first ones before it has seen the last, so many seconds a turn."""


class Stops:
    """When one process stands still.

    :param often: how many times a second, on average; 0: never.
    :param seed: the same dice each run.
    """

    def __init__(self, often: float, seed: int) -> None:
        self._often = often
        self._random = random.Random(seed)
        self._begin, self._end = [0.0], [0.0]

    def awake(self, at: float) -> float:
        """Return when the process does what it is to do at `at`: then, or when it goes on."""
        if not self._often:
            return at
        while self._end[-1] <= at:
            begin = self._end[-1] + self._random.expovariate(self._often)
            self._begin.append(begin)
            self._end.append(begin + self._random.uniform(SHORTEST, LONGEST))
        return max(at, self._end[bisect_right(self._begin, at) - 1])

    def portion(self, waiting: int) -> int:
        """Return how many of the datagrams that wait the process takes in this turn."""
        return min(waiting, AT_ONCE) if self._often else waiting
