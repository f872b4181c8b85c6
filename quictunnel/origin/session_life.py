"""The phases of an established session, for tasks that wait for one of them."""

from __future__ import annotations

import asyncio
import enum


class Phase(enum.Enum):
    """The present state of an established session."""

    ANSWERING = "answering"
    """The remote answers, and may send new clients."""
    SILENT = "silent"
    """The remote does not answer. The clients' connections are held."""
    LEAVING = "leaving"
    """One end has said goodbye: current clients may finish, and no new ones come."""
    ENDED = "ended"
    """The link is gone."""


class SessionLife:
    """The phase of one session. A session that leaves does not answer or fall silent any more."""

    def __init__(self) -> None:
        self.phase = Phase.ANSWERING
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """Done when the link is gone, with what ended it as in `LinkProtocol.link_lost`."""
        self._changed = asyncio.Event()

    def set_silent(self, *, is_silent: bool) -> None:
        """Enter or leave the silent phase; without effect on a session that leaves."""
        if self.phase in (Phase.ANSWERING, Phase.SILENT):
            self._enter(Phase.SILENT if is_silent else Phase.ANSWERING)

    def leave(self) -> None:
        """Enter the leaving phase."""
        self._enter(Phase.LEAVING)

    def end(self, error: Exception | None) -> None:
        """Enter the last phase."""
        self._enter(Phase.ENDED)
        self.ended.set_result(error)

    async def wait_for(self, *phases: Phase) -> Phase:
        """Wait until the session is in one of these phases, and return it.

        A phase that has passed before the waiting task runs is not noticed.
        """
        while self.phase not in phases:
            await self._changed.wait()
        return self.phase

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
