"""Failover a link that stands: while it is silent a fresh one is tried beside it.

The silent link goes on by itself if it can, which `link` sees to. Here it is decided when a fresh
one takes its place, for the remote may have been restarted and know the old one no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from quictunnel.errors import LinkError, Refused
from quictunnel.origin.connector import Connector
from quictunnel.origin.session import OriginSession
from quictunnel.protocol.messages import Welcome

BESIDE_AFTER = 3.0
"""Seconds of silence after which a fresh link is tried beside the silent one."""

CHANCE = 3.0
"""Seconds that the silent link has to answer once a fresh one stands: the network is back then, and
if the remote still knows the old link, its clients live on. The remote waits 5 s for a hello."""


class Failover:
    """Stays with a link, or with the one that takes its place.

    :param reaching: makes the fresh one.
    """

    def __init__(self, reaching: Connector) -> None:
        self._reaching = reaching
        self._hello_beside: asyncio.Future[None] | None = None

    async def stay(self, session: OriginSession) -> Exception | None:
        """Return what ended the link, or the last of those that replaced it in time."""
        while not session.ended.done():
            if not session.silent.is_set():
                await _first_of(session.ended, session.silent.wait())
                continue
            session = await self._replace(session) or session
        return session.ended.result()

    async def _replace(self, session: OriginSession) -> OriginSession | None:
        """Return a session to take the place of a silent one; None once it is heard, or lost."""
        fresh = asyncio.create_task(self._reach_beside(), name="link beside the silent one")
        try:
            await _first_of(fresh, session.heard.wait(), session.ended)
            if self._hello_beside is not None:
                # It may have been us who took the old link over: word of that, on the old path, can
                # overtake the welcome, and is not to be read as a defeat by somebody else.
                await _first_of(self._hello_beside)
            # A fresh session that stands has taken over at the remote, whatever the old one says.
            return fresh.result() if fresh.done() else None
        finally:
            fresh.cancel()
            await asyncio.wait([fresh])

    async def _reach_beside(self) -> OriginSession:
        """Return a fresh session, made while an old one is still kept."""
        await asyncio.sleep(BESIDE_AFTER)
        backoff = self._reaching.backoff()
        while True:
            session = None
            try:
                session = await self._reaching.connect()
                try:
                    await asyncio.sleep(CHANCE)
                    welcome = await self._greet_beside(session)
                except BaseException:
                    session.abort()
                    raise
            except (LinkError, Refused) as exc:
                # Refused beside an old link is no verdict on that one: whoever answers there
                # may be somebody else, on a network that we only pass through.
                self._reaching.complain(exc, "no fresh link beside the silent one")
                answered = session is not None or isinstance(exc, Refused)
                await self._reaching.pause(backoff, backoff.next(answered=answered))
            else:
                self._reaching.stands(session, welcome)
                return session

    async def _greet_beside(self, session: OriginSession) -> Welcome:
        """Greet, and let it be known meanwhile that the answer decides."""
        self._hello_beside = decided = asyncio.get_running_loop().create_future()
        try:
            return await session.greet()
        finally:
            self._hello_beside = None
            decided.set_result(None)


async def _first_of(*awaitables: asyncio.Future[Any] | Coroutine[Any, Any, Any]) -> None:
    """Wait for one of these; coroutines are cancelled then, futures are left as they are."""
    waits = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait, awaitable in zip(waits, awaitables, strict=True):
            if wait is not awaitable:
                wait.cancel()
