"""Which engines the tests run over: those that are installed. Not a test itself.

With QUICTUNNEL_TEST_ENGINES=all, as in CI, it is all of them in any case: one that is missing is
then a failure, and not a gap.
"""

from __future__ import annotations

import importlib.util
import os

HAS_QUINN = (
    importlib.util.find_spec("quictunnel_quinn") is not None
    or os.environ.get("QUICTUNNEL_TEST_ENGINES") == "all"
)

ENGINES = ("aioquic", "quinn") if HAS_QUINN else ("aioquic",)


def another_than(engine: str) -> str:
    """An engine that is not this one; where there is no other, this one."""
    return next((other for other in ENGINES if other != engine), engine)
