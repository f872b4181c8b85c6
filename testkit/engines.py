"""The QUIC engines that tests and scripts run with: those that are installed.

QUICTUNNEL_TEST_ENGINES=all, as in CI, selects all engines. A missing one is then a failure.
"""

from __future__ import annotations

import importlib.util
import os

ARE_ALL_NEEDED = os.environ.get("QUICTUNNEL_TEST_ENGINES") == "all"

HAS_QUINN = ARE_ALL_NEEDED or importlib.util.find_spec("quictunnel_quinn") is not None

ENGINES = ("aioquic", "quinn") if HAS_QUINN else ("aioquic",)
"""All engines, the fastest last."""


def another_than(engine: str) -> str:
    """Return an engine other than this one, or this one if there is no other."""
    return next((other for other in ENGINES if other != engine), engine)
