"""A machine that sleeps, as a program sees it: its clock of boot time runs on, as a file says.

The interpreter imports this by itself in a program that is started with this folder in PYTHONPATH.
The file, named by LABORATORY_SLEPT, has the seconds slept so far; the monotonic clock stands still
in sleep, so it is left alone. Not a test.
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
