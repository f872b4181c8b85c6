"""The facts that a script checks: one line each, and an exit code."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.programs import MissingError, ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable

HELD, FAILED, MISSING = 0, 1, 2
"""Exit codes."""

OK = "ok    "
"""The beginning of the line of a fact that holds."""


class Facts:
    """The facts of one script."""

    def __init__(self) -> None:
        self.count = 0
        self.broken = 0

    def equal(self, fact: str, seen: object, expected: object) -> None:
        """Check that an observed value is the expected one."""
        self.count += 1
        if seen == expected:
            print(f"{OK}{fact}: {seen}", flush=True)
            return
        self.broken += 1
        print(f"BROKEN {fact}: {seen!r}, expected {expected!r}", flush=True)

    def holds(self, fact: str, seen: object, *, when: bool) -> None:
        """Check a condition; print the observed value as well."""
        self.count += 1
        self.broken += not when
        print(f"{OK if when else 'BROKEN '}{fact}: {seen}", flush=True)


def program(name: str) -> str:
    """Return the path of a program.

    :raises MissingError: it is not installed.
    """
    # Debian has servers in /usr/sbin, which may be missing in PATH.
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise MissingError(f"{name} is not installed")
    return path


def run_script(script: Callable[[Facts, Path], None]) -> None:
    """Run a script with a temporary folder, and exit with its exit code."""
    facts = Facts()
    # SystemExit unwinds the script, so that the programs that it has started end as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED))
    try:
        with tempfile.TemporaryDirectory(prefix="quictunnel-interop-") as scratch:
            script(facts, Path(scratch))
    except MissingError as exc:
        print(f"missing: {exc}", flush=True)
        sys.exit(MISSING)
    except (ProgramError, HTTPException, OSError) as exc:
        print(f"BROKEN {type(exc).__name__}: {exc}", flush=True)
        sys.exit(FAILED)
    sys.exit(FAILED if facts.broken or not facts.count else HELD)
