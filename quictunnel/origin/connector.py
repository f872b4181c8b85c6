"""Establishes a session with the remote: retries until it succeeds, and reports why it fails."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings
from quictunnel.config.via import Via
from quictunnel.errors import LinkError, Refused
from quictunnel.events import EventSink, LinkAttemptFailed
from quictunnel.origin.attempt import Attempt
from quictunnel.origin.backoff import Backoff
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.link_dialing import (
    ATTEMPT_TIMEOUT,
    WEBSOCKET_DELAY,
    RemoteAddresses,
    tls_for,
)
from quictunnel.origin.offer import Offer
from quictunnel.origin.path_events import path_reports
from quictunnel.origin.path_memory import PathMemory
from quictunnel.origin.remote_websocket import remote_websocket
from quictunnel.origin.retry import RetryTimer
from quictunnel.origin.session import OriginSession
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Welcome
from quictunnel.quic.dialer import NO_REPORTS
from quictunnel.quic.engine import Qlog
from quictunnel.quic.settings import LinkSettings

FIRST_ATTEMPT_TIMEOUT = 3.5
"""Seconds for the first attempt. A waiting user learns within five that the remote does not answer.
Later attempts take up to `ATTEMPT_TIMEOUT`, which slow networks need."""

REPORT_INTERVAL = 900.0
"""Seconds after which a reason that persists is reported again."""

UNPROVEN = "retrying slowly, because the peer has not proven that it is the remote"
"""The end of the reason when a refusal does not end the origin, because anyone may have sent it."""

MAX_REASONS = 16
"""Reasons remembered. There are few, but a name server may word each of its answers differently."""


class Connector:
    """Establishes sessions as the settings ask.

    :param on_established: called with each session and its welcome, before any client arrives.
    :param emit: receives the events.
    :param rng: the source of the back-off's jitter.
    :param retry: times the attempts.
    :param qlog: records the connections; None for no recording.
    :param path_memory: records which path works in which network; None for no record.
    """

    def __init__(
        self,
        settings: OriginSettings,
        on_established: Callable[[OriginSession, Welcome], None],
        emit: EventSink,
        rng: random.Random,
        retry: RetryTimer,
        *,
        max_clients: int,
        qlog: Qlog | None = None,
        path_memory: PathMemory | None = None,
    ) -> None:
        self._settings = settings
        self._on_established = on_established
        self._emit = emit
        self._rng = rng
        self._retry = retry
        self.last_failure: str | None = None
        """Why the last attempt has failed; None once one has succeeded."""
        self._reported: dict[str, float] = {}
        self._has_met_remote = False
        self._client_tls = tls_for(settings)
        self._websocket = remote_websocket(settings, emit)
        has_choice = settings.via is Via.AUTO and self._websocket is not None
        self._path_memory = path_memory if has_choice else None
        self._websocket_delay = WEBSOCKET_DELAY  # of the present attempt
        self._network_changes = retry.network_changes
        self._link_settings = LinkSettings(
            hold=settings.hold,
            unread_limit=settings.unread_limit,
            engine=settings.engine,
            congestion=settings.congestion,
            qlog=qlog,
        )
        self._session_settings = OriginSessionSettings(
            name=settings.name,
            instance=secrets.token_hex(8),
            token=settings.token,
            offer=Offer({service.name: ExposedService(service) for service in settings.services}),
            hold=settings.hold,
            linger=settings.linger,
            take_over=settings.take_over,
            max_clients=max_clients,
        )

    def change_services(
        self, services: Sequence[ServiceSettings], withdrawn: Collection[str]
    ) -> None:
        """Expose these services with the sessions to come.

        :param withdrawn: the names of services that are not offered.
        """
        old = self.offer.services
        exposed: dict[str, ExposedService] = {}
        for service in services:
            before = old.get(service.name)
            if before is not None and before.settings == service:
                # It keeps what it knows of its origin server's addresses.
                exposed[service.name] = before
            else:
                exposed[service.name] = ExposedService(service, before)
        self._set_offer(Offer(exposed, withdrawn))

    def withdraw(self, names: Collection[str]) -> None:
        """Offer the services without these with the sessions to come."""
        self._set_offer(Offer(self.offer.services, names))

    @property
    def offer(self) -> Offer:
        """The services to expose, for the current session."""
        return self._session_settings.offer

    async def establish(
        self,
        backoff: Backoff | None = None,
        *,
        is_final: Callable[[], bool],
        greet: Callable[[OriginSession], Awaitable[Welcome]] = OriginSession.greet,
        first_time_limit: float = ATTEMPT_TIMEOUT,
        beside_silent_link: bool = False,
    ) -> OriginSession:
        """Return an established session, however many attempts it takes.

        A refusal ends them if the peer has proven that it is the remote, or if no peer has done so
        in this run. Otherwise anyone who can answer in the remote's place could stop the origin.

        :param backoff: the delays from the start of an attempt to the next; by default, new ones.
        :param is_final: whether a refusal may end the attempts at all.
        :param greet: greets the remote with a session whose link is made.
        :param first_time_limit: seconds for the first attempt.
        :raises Refused: the remote refuses the origin, or the peer is not the remote.
        """
        backoff = backoff or Backoff(self._rng)
        loop = asyncio.get_running_loop()
        time_limit = first_time_limit
        while True:
            started_at = loop.time()
            attempt = self._attempt(greet, time_limit)
            try:
                session, welcome = await attempt.run()
            except (LinkError, Refused) as exc:
                is_doubtful = (
                    isinstance(exc, Refused) and not exc.is_proven and self._has_met_remote
                )
                if isinstance(exc, Refused) and not is_doubtful and is_final():
                    raise
                reason = f"{exc}; {UNPROVEN}" if is_doubtful else str(exc)
                self.report_failure(reason, beside_silent_link=beside_silent_link)
                if is_doubtful:
                    delay = backoff.next_refused()
                else:
                    delay = backoff.next(answered=attempt.was_answered)
                # Counted from the start: a peer that answers late must not gain time.
                await self._retry.wait(backoff, started_at + delay - loop.time())
                time_limit = ATTEMPT_TIMEOUT
            else:
                self._has_met_remote = True
                self._record_path(session)
                self._reported.clear()
                self.last_failure = None
                # An origin that is replaced later must not come back and replace the other one.
                self._session_settings = replace(self._session_settings, take_over=False)
                self._on_established(session, welcome)
                return session

    def report_failure(self, reason: str, *, beside_silent_link: bool = False) -> None:
        """Report why an attempt has failed, unless the same reason was reported lately."""
        self.last_failure = reason
        now = asyncio.get_running_loop().time()
        reported_at = self._reported.get(reason)
        if reported_at is not None and now < reported_at + REPORT_INTERVAL:
            return
        if len(self._reported) >= MAX_REASONS:
            self._reported.clear()
        self._reported[reason] = now
        self._emit(LinkAttemptFailed(str(self._settings.remote), reason, beside_silent_link))

    def _record_path(self, session: OriginSession) -> None:
        """Record what carries the link of an established session."""
        if self._path_memory is not None:
            has_udp_failed = self._websocket_delay > 0  # otherwise it had no time
            self._path_memory.record(session.link.path_kind, has_udp_failed=has_udp_failed)

    def _set_offer(self, offer: Offer) -> None:
        self._session_settings = replace(self._session_settings, offer=offer)

    def _attempt(
        self, greet: Callable[[OriginSession], Awaitable[Welcome]], time_limit: float
    ) -> Attempt:
        if self._websocket is not None and self._network_changes != self._retry.network_changes:
            self._network_changes = self._retry.network_changes
            self._websocket.reset()
        memory, reports = self._path_memory, NO_REPORTS
        self._websocket_delay = WEBSOCKET_DELAY
        if memory is not None and memory.has_udp_failed():
            self._websocket_delay = 0.0
        if self._websocket is not None:
            remote = self._settings.remote
            reports = path_reports(remote, self._websocket.url, memory, self._emit)
        addresses = RemoteAddresses(
            self._settings.remote,
            make_session=lambda: OriginSession(self._session_settings, self._emit),
            client_tls=self._client_tls,
            settings=self._link_settings,
            time_limit=time_limit,
            via=self._settings.via,
            websocket=self._websocket,
            websocket_delay=self._websocket_delay,
            reports=reports,
            emit=self._emit,
        )
        return Attempt(partial(self._dial, addresses), greet)

    async def _dial(self, addresses: RemoteAddresses) -> OriginSession:
        """Return a session whose link is made.

        :raises LinkFailed: the remote cannot be reached.
        :raises Refused: the peer's certificate or protocol is not what the settings require.
        """
        try:
            async with self._retry.limit_attempt():
                return await addresses.dial()
        except Refused as exc:
            if exc.code == Code.BAD_CERTIFICATE and self._client_tls.verify == "system":
                raise Refused(exc.code, f"no token was given, and {exc.message}") from exc
            raise
