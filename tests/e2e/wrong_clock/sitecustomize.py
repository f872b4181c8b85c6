"""Makes a program believe that its machine's clock is ahead. Not a test.

The interpreter imports this module in a program that starts with this folder in PYTHONPATH.
CLOCK_AHEAD has the seconds; a negative number puts the clock behind.
"""

import os
import time

_ahead = float(os.environ["CLOCK_AHEAD"])
_time = time.time

time.time = lambda: _time() + _ahead
