"""Commands that a script runs to completion, users to run as, and a stopwatch."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from typing import TYPE_CHECKING

from interop._facts import program
from testkit.programs import MissingError, ProgramError, clean_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WITHIN = 180.0
"""Seconds for a command, enough for hundreds of megabytes on a busy machine."""


def output_of(
    command: Sequence[str | Path], *, given: str | None = None, **environment: str
) -> str:
    """Run a command; return its standard output as text.

    :param given: its standard input.
    :param environment: variables to set beside our own environment.
    :raises ProgramError: it failed; the message carries its output.
    """
    words = [str(word) for word in command]
    try:
        ended = subprocess.run(
            words,
            input=given or "",
            capture_output=True,
            text=True,
            timeout=WITHIN,
            env=clean_environment() | environment,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ProgramError(f"{words[0]} did not end within {WITHIN:.0f} s") from exc
    if ended.returncode:
        output = f"{ended.stdout[-500:]}{ended.stderr[-1000:]}".strip()
        raise ProgramError(f"{words[0]} ended with {ended.returncode}: {output}")
    return ended.stdout


def as_user(name: str, *folders: Path) -> list[str]:
    """Return a command prefix that runs a command as a user, or nothing if we are not root.

    :param folders: folders whose owner to change to that user.
    :raises MissingError: there is no such user.
    """
    if os.geteuid():
        return []
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise MissingError(f"the user {name} is not on this machine") from None
    for folder in folders:
        os.chown(folder, user.pw_uid, user.pw_gid)
    rights = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [program("setpriv"), *rights, "--"]


class Stopwatch:
    """Measures the duration of a `with` block."""

    def __enter__(self) -> Stopwatch:
        self._start = time.monotonic()
        self.seconds = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._start

    def rate(self, size: int) -> str:
        """Return the rate of a transfer of `size` bytes, for people."""
        return f"{size / 1e6 / self.seconds:.0f} MB/s"
