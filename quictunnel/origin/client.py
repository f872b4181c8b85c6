"""The origin as a whole: it keeps a link to the remote, whatever happens, until told to end.

How a link comes to be is `reaching`'s business, what silence means for it `keeping`'s, and what
happens on it the session's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkForgotten, LinkLost, Refused
from quictunnel.events import EventSink, discard_event
from quictunnel.observe.logging_setup import fact
from quictunnel.origin.connector import Connector
from quictunnel.origin.failover import Failover
from quictunnel.origin.retry import Waits
from quictunnel.origin.session import FOR_GOOD, OriginSession
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service, Welcome
from quictunnel.quic import MonitorFactory, NetworkMonitor, report_selected
from quictunnel.relay.readiness import readiness
from quictunnel.session.clients import MAX_CLIENTS
from quictunnel.session.session import describe_link_end

STOOD = 10.0
"""Seconds after which a link counts as a good one, and the next failure as the first."""

SHUTTING_DOWN = "the origin is shutting down"

_log = logging.getLogger("quictunnel.origin")


class Origin:
    """An origin: let it `start`, then `wait_closed`; `drain` or `abort` end it.

    :param settings: what the user wants.
    :param on_ready: called with the services and their outside addresses whenever a link stands.
    :param emit: receives the events.
    :param max_clients: the limit on clients. Each costs a file descriptor.
    :param rng: where the jitter between two attempts comes from.
    :param watch: makes what tells of other networks.
    """

    def __init__(
        self,
        settings: OriginSettings,
        *,
        on_ready: Callable[[tuple[Service, ...]], None],
        emit: EventSink = discard_event,
        max_clients: int = MAX_CLIENTS,
        rng: random.Random | None = None,
        watch: MonitorFactory = NetworkMonitor.of_this_machine,
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._emit = emit
        self._waits = Waits(watch)
        rng = rng or random.Random()
        self._reaching = Connector(
            settings, self._stands, emit, rng, self._waits, max_clients=max_clients
        )
        self._keeping = Failover(self._reaching)
        self._session: OriginSession | None = None
        self._instance = ""
        self._life: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Begin to connect, and to connect again whenever the link is lost.

        :raises SettingsError: when the engine cannot be used.
        """
        report_selected(self._settings.engine, self._settings.congestion, self._emit)
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
        """MonitorFactory over the network, and keep a link."""
        with self._waits:
            await self._keep_a_link()

    async def _keep_a_link(self) -> None:
        """Keep a link until the remote refuses it, which is raised."""
        backoff = self._reaching.backoff()
        while True:
            session = await self._reaching.reach(backoff)
            began = asyncio.get_running_loop().time()
            error = await self._keeping.stay(session)
            self._session = None
            if isinstance(error, LinkLost) and error.code in FOR_GOOD:
                raise Refused(error.code, _sentence(error))
            forgotten = isinstance(error, LinkForgotten)
            stood = asyncio.get_running_loop().time() - began >= STOOD
            if stood:
                backoff.reset()
            if not (stood and forgotten):  # a remote that says so is there, and clients wait
                await self._reaching.pause(backoff, backoff.next())

    def _stands(self, session: OriginSession, welcome: Welcome) -> None:
        old, self._session = self._session, session
        if old is not None:
            old.report_dropped("a fresh link has taken its place")
            old.abort(Code.TAKEN_OVER)  # the remote has done so by now
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


def _sentence(error: LinkLost) -> str:
    if error.code == Code.TAKEN_OVER:
        return (
            "another origin with the same token and name has taken this one's place; "
            "a remote serves one at a time, so run a remote for each"
        )
    return describe_link_end(error)
