"""Makes a program believe that its machine was suspended: CLOCK_BOOTTIME is ahead.

The interpreter imports this module in a program that starts with this folder in PYTHONPATH.
LABORATORY_SLEPT names the file, which has the seconds slept so far. The monotonic clock stops
during a suspend, so it is unchanged. Not a test.
"""

import os
import time
from pathlib import Path

_slept = Path(os.environ["LABORATORY_SLEPT"])
_clock_gettime = time.clock_gettime


def clock_gettime(clock: int) -> float:
    seconds = _clock_gettime(clock)
    return seconds + float(_slept.read_text()) if clock == time.CLOCK_BOOTTIME else seconds


time.clock_gettime = clock_gettime
