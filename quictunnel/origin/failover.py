"""Tries a new link beside one that is silent, because the remote may have been restarted.

The silent link tries to recover by itself, on new paths. If it does so first, its clients survive.
"""

from __future__ import annotations

import asyncio

from quictunnel.origin.connector import Connector
from quictunnel.origin.session import OriginSession
from quictunnel.origin.session_life import Phase
from quictunnel.protocol.messages import Welcome

ATTEMPT_AFTER = 3.0
"""Seconds of silence after which a new link is tried."""

RECOVERY_TIME = 3.0
"""Seconds that the silent link has to recover once the new one is made. The network works then, and
if the remote still has the old link, its clients survive. The remote waits 5 s for a hello."""


class Failover:
    """Replaces silent sessions.

    :param connector: establishes the new ones.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._greeting = asyncio.Lock()

    async def watch(self, session: OriginSession) -> OriginSession:
        """Wait until the session, or the one that has replaced it, leaves or ends; return it."""
        while True:
            phase = await session.life.wait_for(Phase.SILENT, Phase.LEAVING, Phase.ENDED)
            if phase is not Phase.SILENT:
                return session
            session = await self._replace(session) or session

    async def _replace(self, silent: OriginSession) -> OriginSession | None:
        """Return the session that has replaced a silent one; None if that recovers or ends."""
        new = asyncio.create_task(self._establish_beside(), name="link beside the silent one")
        change = silent.life.wait_for(Phase.ANSWERING, Phase.LEAVING, Phase.ENDED)
        changed = asyncio.create_task(change, name="end of the silence")
        try:
            await asyncio.wait([new, changed], return_when=asyncio.FIRST_COMPLETED)
            # The new session's hello may have taken over from the silent one. News of that may
            # overtake the welcome, and is then no reason to give up the new session.
            async with self._greeting:
                return new.result() if new.done() else None
        finally:
            new.cancel()
            changed.cancel()
            await asyncio.wait([new, changed])

    async def _establish_beside(self) -> OriginSession:
        await asyncio.sleep(ATTEMPT_AFTER)
        return await self._connector.establish(
            # The peer that refuses may be another one, in a network that we only pass through.
            is_final=lambda: False,
            greet=self._greet,
            beside_silent_link=True,
        )

    async def _greet(self, session: OriginSession) -> Welcome:
        """Greet with a new session once the silent one had time to recover."""
        try:
            await asyncio.sleep(RECOVERY_TIME)
            async with self._greeting:
                return await session.greet()
        except BaseException:
            session.abort()
            raise
