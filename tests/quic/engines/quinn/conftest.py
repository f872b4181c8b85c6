"""What is here tests the compiled module itself: without it there is nothing to test."""

from __future__ import annotations

from testkit.engines import HAS_QUINN

if not HAS_QUINN:
    collect_ignore_glob = ["test_*.py"]
