"""The origin as a whole: stays connected to the remote until it is told to end.

At any time there is at most one current session, which receives new clients. Others may be leaving:
their clients finish while the current session already serves.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quictunnel.config.settings import OriginSettings, differences
from quictunnel.errors import LinkForgotten, LinkLost, Refused
from quictunnel.events import DrainStarted, EventSink, LinkEnding, LinkEstablished, discard_event
from quictunnel.origin.backoff import Backoff
from quictunnel.origin.connector import FIRST_ATTEMPT_TIMEOUT, Connector
from quictunnel.origin.failover import Failover
from quictunnel.origin.health import HealthMonitor
from quictunnel.origin.observation import OriginView
from quictunnel.origin.path_memory import PathMemory
from quictunnel.origin.retry import RetryTimer
from quictunnel.origin.session import FINAL_CODES, OriginSession
from quictunnel.origin.session_life import Phase
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Welcome
from quictunnel.quic.dialer import MonitorFactory
from quictunnel.quic.engine import Qlog
from quictunnel.quic.engines.selection import report_selected
from quictunnel.quic.path.network_monitor import NetworkMonitor
from quictunnel.relay.readiness import readiness
from quictunnel.session.clients import MAX_CLIENTS
from quictunnel.session.failure_reporter import FailureReporter
from quictunnel.session.observation import link_snapshots, unread_bytes
from quictunnel.session.session import describe_link_end
from quictunnel.snapshots import ClientSnapshot, LinkSnapshot, RoleSnapshot, ServiceSnapshot

STABLE_AFTER = 10.0
"""Seconds after which a session counts as stable: its end does not count as a failure."""

MAX_LEAVING = 8
"""Sessions that may leave at the same time. One more ends the oldest, whose clients are reset."""

STOPPED = "the origin was stopped"
"""The reason that the remote is given when the origin stops."""

STOPPING = "the origin is stopping"
"""Why an origin that stops is not ready."""


class Origin:
    """An origin. After `start`, `drain` or `abort` ends it, and `wait_closed` waits for the end.

    It is an `ObservedRole`.

    :param emit: receives the events.
    :param max_clients: the limit on clients. Each costs a file descriptor.
    :param rng: the source of the jitter between two attempts.
    :param watch: makes the monitor that reports network changes.
    :param qlog: records the connections to the remote; None for no recording.
    :param path_memory: records which path to the remote works in which network; None for no record.
    """

    def __init__(
        self,
        settings: OriginSettings,
        *,
        emit: EventSink = discard_event,
        max_clients: int = MAX_CLIENTS,
        rng: random.Random | None = None,
        watch: MonitorFactory = NetworkMonitor.of_this_machine,
        qlog: Qlog | None = None,
        path_memory: PathMemory | None = None,
    ) -> None:
        self._settings = settings
        self._emit = emit = self._failures = FailureReporter(emit)
        self._max_clients = max_clients
        self._engine: str = settings.engine  # as configured, until the start
        self._started_at: float | None = None
        self._retry = RetryTimer(watch)
        rng = rng or random.Random()
        self._backoff = Backoff(rng)
        self._connector = Connector(
            settings,
            self._session_established,
            emit,
            rng,
            self._retry,
            max_clients=max_clients,
            qlog=qlog,
            path_memory=path_memory,
        )
        self._failover = Failover(self._connector)
        self._checks = HealthMonitor(self._health_changed, self._task_ended, emit, rng)
        self._current: OriginSession | None = None
        self._leaving: list[OriginSession] = []
        self._remote_instance = ""
        self._run_task: asyncio.Task[None] | None = None
        self._end_task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Start to connect in the background.

        :raises SettingsError: the engine cannot be used.
        """
        loop = asyncio.get_running_loop()
        settings = self._settings
        self._engine = report_selected(settings.engine, settings.congestion, self._emit).name
        self._started_at = loop.time()
        # Made now, so that a lack of file descriptors cannot prevent it later.
        readiness(loop)
        self._checks.apply(self._settings.services)
        self._run_task = asyncio.create_task(self._run(), name="origin")
        self._run_task.add_done_callback(self._task_ended)

    async def wait_closed(self) -> None:
        """Wait for the end, and raise the error that caused it, if one did.

        :raises Refused: the remote refuses the origin, or the peer is not the remote.
        """
        await self._closed.wait()
        if self._failure is not None:
            raise self._failure

    def apply(self, settings: OriginSettings) -> set[str]:
        """Apply changed settings. Clients of services that have not changed notice nothing.

        :return: the names of the changed fields that a running origin cannot apply.
        """
        changed = differences(self._settings, settings)
        self._settings = replace(self._settings, services=settings.services, grace=settings.grace)
        if "services" in changed:
            self._checks.apply(settings.services)
            self._connector.change_services(settings.services, self._checks.unhealthy)
            self._change_offer()
        return changed - {"services", "grace"}

    def drain(self) -> None:
        """End in order: no new clients; current ones may finish within the grace."""
        if self._end_task is None:
            clients = sum(len(session.clients) for session in self._sessions)
            self._emit(DrainStarted(clients=clients, grace=self._settings.grace))
            for session in self._sessions:
                session.say_goodbye(STOPPED, self._settings.grace)
        self._finish_soon()

    def abort(self) -> None:
        """End at once: reset clients and close links."""
        for session in self._sessions:
            session.abort(Code.GOODBYE, STOPPED)
        self._failures.close()
        self._finish_soon()

    # -- Observing (`ObservedRole`)

    def describe(self) -> RoleSnapshot:
        """Return the origin's state."""
        is_draining = self._end_task is not None
        reason = STOPPING if is_draining else self._view.why_not_ready()
        since = self._started_at
        return RoleSnapshot(
            role="origin",
            name=self._settings.name,
            engine=self._engine,
            addresses=(str(self._settings.remote),),
            age=0.0 if since is None else asyncio.get_running_loop().time() - since,
            clients=sum(len(session.clients) for session in self._sessions),
            max_clients=self._max_clients,
            unread_bytes=unread_bytes(self._sessions),
            is_draining=is_draining,
            is_ready=reason is None,
            reason=reason,
        )

    def list_services(self) -> Sequence[ServiceSnapshot]:
        """Return the services, in the order of the settings."""
        return tuple(self.iterate_services())

    def iterate_services(self) -> Iterator[ServiceSnapshot]:
        """Iterate over the services, in the order of the settings."""
        return self._view.services()

    def list_links(self) -> Sequence[LinkSnapshot]:
        """Return the links to the remote, the oldest first."""
        return link_snapshots(
            (session, tuple(each.name for each in session.listing.granted or ()))
            for session in self._sessions
        )

    def iterate_clients(self) -> Iterator[ClientSnapshot]:
        """Iterate over the clients that are connected now, in no order."""
        return self._view.clients()

    def close_client(self, client_id: str) -> bool:
        """Reset a client's connection at both ends. Return False if there is no such client."""
        return self._view.close_client(client_id)

    @property
    def _view(self) -> OriginView:
        return OriginView(
            self._connector.offer,
            self._checks,
            self._current,
            self._sessions,
            remote_host=self._settings.remote.host,
            last_failure=self._connector.last_failure,
        )

    # -- Connecting

    @property
    def _sessions(self) -> tuple[OriginSession, ...]:
        """The current session, if there is one, and those that leave."""
        return (*self._leaving, *(() if self._current is None else (self._current,)))

    async def _run(self) -> None:
        """Stay connected until the remote refuses the origin. Then current clients finish first."""
        with self._retry:
            try:
                await self._stay_connected()
            except Refused:
                await self._wait_for_sessions()
                raise
            finally:
                self._checks.close()

    async def _stay_connected(self) -> None:
        """Establish a session whenever the current one leaves or ends.

        :raises Refused: the remote refuses the origin, or the peer is not the remote.
        """
        loop = asyncio.get_running_loop()
        while True:
            session = await self._connector.establish(
                self._backoff,
                # A remote that stops refuses new sessions while clients still use the old one.
                is_final=lambda: not self._leaving,
                first_time_limit=FIRST_ATTEMPT_TIMEOUT,
            )
            established_at = loop.time()
            session = await self._failover.watch(session)
            self._current = None
            is_stable = loop.time() - established_at >= STABLE_AFTER
            if is_stable:
                self._backoff.reset()
            if session.life.phase is Phase.LEAVING:
                self._retire(session, resets_backoff=is_stable)
                reconnect_at_once = True
            else:
                error = session.life.ended.result()
                if isinstance(error, LinkLost) and error.code in FINAL_CODES:
                    raise Refused(error.code, _explain(error), is_proven=True)
                # The peer that sent a stateless reset is running, and clients are waiting.
                reconnect_at_once = isinstance(error, LinkForgotten)
            if not (is_stable and reconnect_at_once):
                await self._retry.wait(self._backoff, self._backoff.next())

    def _session_established(self, session: OriginSession, welcome: Welcome) -> None:
        silent, self._current = self._current, session
        for leaving in self._leaving:
            leaving.is_replaced = True
        if silent is not None:
            silent.report_dropped("a new link has replaced it", LinkEnding.TAKEN_OVER)
            silent.abort(Code.TAKEN_OVER)
            self._retire(silent, resets_backoff=False)
        has_restarted = self._remote_instance not in ("", welcome.instance)
        self._remote_instance = welcome.instance
        peer, rtt = str(session.link.peer), session.link.rtt
        path = session.link.path_kind
        self._emit(LinkEstablished(peer, rtt, welcome.hold, has_restarted, session.link_id, path))
        session.start_serving(self._connector.offer)  # it may have changed since the hello

    def _health_changed(self) -> None:
        self._connector.withdraw(self._checks.unhealthy)
        self._change_offer()

    def _change_offer(self) -> None:
        if self._current is not None:
            self._current.change_offer(self._connector.offer)

    def _retire(self, session: OriginSession, *, resets_backoff: bool) -> None:
        """Let a session's clients finish, if it has any.

        :param resets_backoff: whether to connect at once when it has ended. The remote may have
            refused new sessions until then.
        """

        def ended(_: object) -> None:
            self._leaving.remove(session)
            if resets_backoff:
                self._backoff.reset()
                self._retry.wake()

        self._leaving.append(session)
        if len(self._leaving) > MAX_LEAVING:
            self._leaving[0].abort()
        session.life.ended.add_done_callback(ended)

    # -- Ending

    def _finish_soon(self) -> None:
        if self._end_task is None:
            if self._run_task is not None:
                self._run_task.cancel()  # no session is established from now on
            self._end_task = asyncio.create_task(self._finish(), name="end of the origin")
            self._end_task.add_done_callback(self._task_ended)

    async def _finish(self) -> None:
        """Close once all sessions have ended, which their own time limits ensure."""
        if self._run_task is not None:
            await asyncio.wait([self._run_task])
        await self._wait_for_sessions()
        self._failures.close()
        self._closed.set()

    async def _wait_for_sessions(self) -> None:
        for session in self._sessions:
            await session.life.wait_for(Phase.ENDED)
            await session.link.wait_closed()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Let `wait_closed` raise an error that ended a background task."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failure = exc
            self._closed.set()


def _explain(error: LinkLost) -> str:
    reason = describe_link_end(error)
    if error.code == Code.TAKEN_OVER:
        return f"{reason}; give each origin its own --name and port"
    return reason
