"""Connector the remote: tries until a link stands, and each new reason why none does, once.

What one try does is `connect`'s and the session's business. What becomes of a link that stands,
and when there is to be another, is `keeping`'s and the role's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable

from quictunnel.config.settings import DEFAULT_SERVICE, OriginSettings
from quictunnel.errors import LinkError
from quictunnel.events import EventSink
from quictunnel.observe.logging_setup import fact
from quictunnel.origin.backoff import Backoff
from quictunnel.origin.link_dialing import ATTEMPT_TIMEOUT, connect, tls_for
from quictunnel.origin.retry import Waits
from quictunnel.origin.session import OriginSession
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.origin.upstream import Dialler
from quictunnel.protocol.messages import Welcome
from quictunnel.quic import LinkSettings

FIRST_TRY = 3.5
"""Seconds for the first try after the start, or after a loss: a person who waits is to be told
within five that nothing answers. Later ones may take longer, for the sake of slow networks."""

COMPLAIN_AGAIN = 900.0
"""Seconds after which a reason is given again that still stands."""

MOST_COMPLAINTS = 16
"""Reasons that are remembered. There are a handful; a name server may word each anew."""

_log = logging.getLogger("quictunnel.origin")


class Connector:
    """The way from settings to a session that stands.

    :param on_stands: called with each session that does, and its welcome, in the same turn.
    :param emit: receives the events.
    :param rng: where the jitter between two tries comes from.
    :param waits: for tries, and between them.
    """

    def __init__(
        self,
        settings: OriginSettings,
        on_stands: Callable[[OriginSession, Welcome], None],
        emit: EventSink,
        rng: random.Random,
        waits: Waits,
        *,
        max_clients: int,
    ) -> None:
        self._settings = settings
        self._on_stands = on_stands
        self._emit = emit
        self._rng = rng
        self._complaints: dict[str, float] = {}
        self._waits = waits
        self._link_settings = LinkSettings(
            hold=settings.hold,
            unread_limit=settings.unread_limit,
            engine=settings.engine,
            congestion=settings.congestion,
        )
        self._offer = OriginSessionSettings(
            name=settings.name,
            instance=secrets.token_hex(8),
            token=settings.token,
            services={DEFAULT_SERVICE: Dialler(settings.origin)},
            proxy_protocol=settings.proxy_protocol,
            hold=settings.hold,
            linger=settings.linger,
            max_clients=max_clients,
        )

    def backoff(self) -> Backoff:
        """Return delays for tries that begin now."""
        return Backoff(self._rng)

    async def reach(self, backoff: Backoff) -> OriginSession:
        """Return a session that stands, however long that takes.

        :raises Refused: the remote does not want it, or is not the one it should be.
        """
        within = FIRST_TRY
        while True:
            session = None
            try:
                session = await self.connect(within)
                welcome = await session.greet()
            except LinkError as exc:
                self.complain(exc)
                within = ATTEMPT_TIMEOUT
                await self.pause(backoff, backoff.next(answered=session is not None))
            else:
                self.stands(session, welcome)
                return session

    async def connect(self, within: float = ATTEMPT_TIMEOUT) -> OriginSession:
        """Return a session whose link is made and that has yet to greet.

        :param within: seconds for it.
        :raises LinkFailed: there is no link to be had.
        :raises Refused: what answers is not what the settings ask for.
        """
        async with self._waits.attempt():
            return await connect(
                self._settings.remote,
                make_session=lambda: OriginSession(self._offer, self._emit),
                client_tls=tls_for(self._settings),
                settings=self._link_settings,
                within=within,
            )

    async def pause(self, backoff: Backoff, delay: float) -> None:
        """Wait before the next try: `delay` seconds, or until the network is another."""
        await self._waits.pause(backoff, delay)

    def stands(self, session: OriginSession, welcome: Welcome) -> None:
        """Note that a session stands."""
        self._complaints.clear()
        self._on_stands(session, welcome)

    def complain(self, exc: Exception, message: str = "no link, trying on") -> None:
        """Log why there is no link: each reason once, and again when it has stood for long."""
        now, reason = asyncio.get_running_loop().time(), str(exc)
        said = self._complaints.get(reason)
        if said is not None and now < said + COMPLAIN_AGAIN:
            return
        if len(self._complaints) >= MOST_COMPLAINTS:
            self._complaints.clear()
        self._complaints[reason] = now
        fact(_log, logging.WARNING, message, remote=self._settings.remote, reason=reason)
