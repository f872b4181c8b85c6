"""The base of all checks, and that of checks which read only this machine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from quictunnel.doctor.finding import Finding, Level

BLOCKING = (Level.FAILED, Level.SKIPPED)
"""Levels of a finding after which checks that need its check are skipped, unless it decides
otherwise."""


class Check(ABC):
    """One check. It runs once."""

    title: str
    """The subject of the check, in a few words."""

    time_limit: ClassVar[float]
    """Seconds after which the check has failed."""

    needs: Sequence[Check] = ()
    """The checks without which this one makes no sense. It runs after them, unless one has not
    passed."""

    @abstractmethod
    async def run(self) -> list[Finding]:
        """Return what was found, one finding at least."""

    def blocking(self, findings: Sequence[Finding]) -> Finding | None:
        """Return the finding because of which checks that need this one are skipped, or None.

        :param findings: the result of this check.
        """
        return next((finding for finding in findings if finding.level in BLOCKING), None)


class LocalCheck(Check):
    """A check that needs no network and less than 50 ms, such as of a file.

    It runs in a thread, because a file system may hang.
    """

    time_limit = 5.0

    @abstractmethod
    def examine(self) -> list[Finding]:
        """Return what was found. Called in a thread."""

    async def run(self) -> list[Finding]:
        """Return what `examine` has found."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Finding]] = loop.create_future()

        def finish(found: list[Finding], error: Exception | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(found)

        def work() -> None:
            found: list[Finding] = []
            error: Exception | None = None
            try:
                found = self.examine()
            except Exception as exc:  # raised by `run`
                error = exc
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing waits
                loop.call_soon_threadsafe(finish, found, error)

        # A daemon thread: the process does not wait for it when it exits.
        threading.Thread(target=work, name=f"check {self.title}", daemon=True).start()
        return await done
