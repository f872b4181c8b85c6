"""What is here tests the compiled module itself: without it there is nothing to test."""

from __future__ import annotations

import importlib.util
import os

if not (
    importlib.util.find_spec("quictunnel_quinn")
    or os.environ.get("QUICTUNNEL_TEST_ENGINES") == "all"
):
    collect_ignore_glob = ["test_*.py"]
