"""The origin as a whole: it keeps a link to the remote, whatever happens, until told to end.

How a link comes to be is `connect`'s business, what happens on it the session's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkError, LinkLost, Refused
from quictunnel.link import LinkSettings, announce_engine
from quictunnel.observe.logs import fact
from quictunnel.origin.backoff import Backoff
from quictunnel.origin.connect import connect, tls_for
from quictunnel.origin.dial import Dialler
from quictunnel.origin.offer import Offer
from quictunnel.origin.session import FOR_GOOD, OriginSession
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service, Welcome
from quictunnel.relay.readiness import readiness
from quictunnel.session.descriptors import make_room
from quictunnel.session.session import why_ended

DEFAULT_SERVICE = "default"
"""The service whose origin server the settings name; they name one, the code knows many."""

STOOD = 10.0
"""Seconds after which a link counts as a good one, and the next failure as the first."""

BESIDE_AFTER = 3.0
"""Seconds of silence after which a fresh link is tried beside the silent one."""

CHANCE = 3.0
"""Seconds that the silent link has to answer once a fresh one stands: the network is back then, and
if the remote still knows the old link, its clients live on. The remote waits 5 s for a hello."""

SHUTTING_DOWN = "the origin is shutting down"

_log = logging.getLogger("quictunnel.origin")


class Origin:
    """An origin: let it `start`, then `wait_closed`; `drain` or `abort` end it.

    :param settings: what the user wants.
    :param on_ready: called with the services and their outside addresses whenever a link stands.
    :param rng: where the jitter between two attempts comes from.
    """

    def __init__(
        self,
        settings: OriginSettings,
        *,
        on_ready: Callable[[tuple[Service, ...]], None],
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._link_settings = LinkSettings(
            hold=settings.hold,
            unread_limit=settings.unread_limit,
            engine=settings.engine,
            congestion=settings.congestion,
        )
        self._offer = Offer(
            name=settings.name,
            token=settings.token,
            services={DEFAULT_SERVICE: Dialler(settings.origin)},
            proxy_protocol=settings.proxy_protocol,
            hold=settings.hold,
            linger=settings.linger,
            max_clients=make_room(),
        )
        self._rng = rng or random.Random()
        self._session: OriginSession | None = None
        self._hello_beside: asyncio.Future[None] | None = None
        self._instance = ""
        self._complaint = ""
        self._life: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Begin to connect, and to connect again whenever the link is lost.

        :raises SettingsError: when the engine cannot be used.
        """
        announce_engine(_log, self._settings.engine, self._settings.congestion)
        # What watches clients' sockets: made now, that no descriptor is missing for it later.
        readiness(asyncio.get_running_loop())
        self._life = asyncio.create_task(self._live(), name="life of the origin")
        self._life.add_done_callback(self._task_ended)

    async def wait_closed(self) -> None:
        """Wait until it has ended.

        :raises Refused: the remote does not want it, or is not the one it should be.
        """
        await self._closed.wait()
        if self._failure is not None:
            raise self._failure

    def drain(self) -> None:
        """Begin to end in order: no new clients, the present ones have the grace to finish."""
        if self._end is None:
            clients = len(self._session.clients) if self._session else 0
            fact(_log, logging.INFO, "drain", clients=clients, grace=self._settings.grace)
            if self._session is not None:
                self._session.say_goodbye(SHUTTING_DOWN, self._settings.grace)
        self._finish_soon()

    def abort(self) -> None:
        """End at once: clients are reset, the link is closed."""
        if self._session is not None:
            self._session.abort(Code.GOODBYE, SHUTTING_DOWN)
        self._finish_soon()

    # -- A life

    async def _live(self) -> None:
        """Keep a link until the remote refuses it, which is raised."""
        backoff = Backoff(self._rng)
        while True:
            session = await self._reach(backoff)
            began = asyncio.get_running_loop().time()
            error = await self._stay(session)
            self._session = None
            if isinstance(error, LinkLost) and error.code in FOR_GOOD:
                raise Refused(error.code, _sentence(error))
            fact(
                _log,
                logging.WARNING,
                "link lost",
                remote=self._settings.remote,
                reason=why_ended(error),
            )
            if asyncio.get_running_loop().time() - began >= STOOD:
                backoff.reset()
            await asyncio.sleep(backoff.next())

    async def _reach(self, backoff: Backoff) -> OriginSession:
        """Return a session that stands, however long that takes."""
        while True:
            try:
                session = await self._connect()
                welcome = await session.greet()
            except LinkError as exc:
                self._complain(exc)
                await asyncio.sleep(backoff.next())
            else:
                self._stands(session, welcome)
                return session

    async def _stay(self, session: OriginSession) -> Exception | None:
        """Return what ended the link, or the last of those that replaced it in time."""
        while not session.ended.done():
            if not session.silent.is_set():
                await _first_of(session.ended, session.silent.wait())
                continue
            fact(_log, logging.WARNING, "remote silent", remote=session.link.peer)
            fresh = await self._replace(session)
            if fresh is not None:
                session = fresh
            elif not session.ended.done():
                fact(_log, logging.INFO, "remote answers again", remote=session.link.peer)
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
        backoff = Backoff(self._rng)
        while True:
            try:
                session = await self._connect()
                try:
                    await asyncio.sleep(CHANCE)
                    welcome = await self._greet_beside(session)
                except BaseException:
                    session.abort()
                    raise
            except (LinkError, Refused) as exc:
                # Refused beside an old link is no verdict on that one: whoever answers there
                # may be somebody else, on a network that we only pass through.
                self._complain(exc)
                await asyncio.sleep(backoff.next())
            else:
                self._stands(session, welcome)
                return session

    async def _greet_beside(self, session: OriginSession) -> Welcome:
        """Greet, and let it be known meanwhile that the answer decides."""
        self._hello_beside = decided = asyncio.get_running_loop().create_future()
        try:
            return await session.greet()
        finally:
            self._hello_beside = None
            decided.set_result(None)

    async def _connect(self) -> OriginSession:
        return await connect(
            self._settings.remote,
            make_session=lambda: OriginSession(self._offer),
            client_tls=tls_for(self._settings),
            settings=self._link_settings,
        )

    def _stands(self, session: OriginSession, welcome: Welcome) -> None:
        old, self._session = self._session, session
        if old is not None:
            old.abort(Code.TAKEN_OVER)  # the remote has done so by now
        self._complaint = ""
        fact(
            _log,
            logging.INFO,
            "link stands",
            remote=session.link.peer,
            rtt=session.link.rtt,
            hold=welcome.hold,
            restarted=True if self._instance not in ("", welcome.instance) else None,
        )
        self._instance = welcome.instance
        self._on_ready(tuple(welcome.services))

    def _complain(self, exc: Exception) -> None:
        """Log why there is no link: once, until the reason is another."""
        if str(exc) != self._complaint:
            self._complaint = str(exc)
            fact(
                _log,
                logging.WARNING,
                "no link, trying on",
                remote=self._settings.remote,
                reason=exc,
            )

    # -- An end

    def _finish_soon(self) -> None:
        if self._end is None:
            if self._life is not None:
                self._life.cancel()  # now: no other session comes to stand from here on
            self._end = asyncio.create_task(self._finish(), name="end of the origin")
            self._end.add_done_callback(self._task_ended)

    async def _finish(self) -> None:
        """End once the session has ended, which it does in time; there will be no other."""
        if self._life is not None:
            await asyncio.wait([self._life])
        if self._session is not None:
            await self._session.ended
            await self._session.link.wait_closed()
        self._closed.set()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Let what went wrong surface in `wait_closed`, rather than in nobody's ear."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failure = exc
            self._closed.set()


async def _first_of(*awaitables: asyncio.Future[Any] | Coroutine[Any, Any, Any]) -> None:
    """Wait for one of these; coroutines are cancelled then, futures are left as they are."""
    waits = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait, awaitable in zip(waits, awaitables, strict=True):
            if wait is not awaitable:
                wait.cancel()


def _sentence(error: LinkLost) -> str:
    if error.code == Code.TAKEN_OVER:
        return (
            "another origin with the same token and name has taken this one's place; "
            "give each its own name to run both"
        )
    return why_ended(error)
