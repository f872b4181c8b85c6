"""These tests need the compiled module. Without it they are not collected."""

from __future__ import annotations

from testkit.engines import HAS_QUINN

if not HAS_QUINN:
    collect_ignore_glob = ["test_*.py"]
