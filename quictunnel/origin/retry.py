"""Waiting between two tries for a link, and for a try itself: another network ends either wait.

What is tried is `reaching`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from quictunnel.errors import LinkFailed
from quictunnel.origin.backoff import FIRST_DELAY, Backoff
from quictunnel.quic import MonitorFactory, NetworkMonitor

LONG_TRY = 1.0
"""Seconds after which a try is called off if the network has changed meanwhile: its datagrams may
leave from an address that has gone. Each that is called off leaves twice as much to the next one,
or on a machine whose networks never rest nothing far away would be reached."""

LONGEST_TRY = 8.0

AMNESTY = 10.0
"""Seconds between two changes of the network after which the delays begin anew."""


class Waits:
    """The waits of one origin. To be entered for as long as there are any.

    :param watch: makes what tells of other networks.
    """

    def __init__(self, watch: MonitorFactory = NetworkMonitor.of_this_machine) -> None:
        self._make_watch = watch
        self._watch: NetworkMonitor | None = None
        self._changes = 0
        self._changed: asyncio.Future[None] | None = None
        self._forgave_at: float | None = None
        self._long = LONG_TRY
        self._try: asyncio.Timeout | None = None
        self._try_long_at = 0.0

    def __enter__(self) -> None:
        self._watch = self._make_watch(asyncio.get_running_loop(), self._on_change)

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    async def pause(self, backoff: Backoff, delay: float) -> None:
        """Wait before the next try: `delay` seconds, or until the network changes.

        :param backoff: begins anew then.
        """
        loop, changes = asyncio.get_running_loop(), self._changes
        await asyncio.sleep(min(delay, FIRST_DELAY))  # noise does not let us hammer the remote
        if changes == self._changes and delay > FIRST_DELAY:
            await asyncio.wait([self._change()], timeout=delay - FIRST_DELAY)
        now = loop.time()
        if changes != self._changes and (
            self._forgave_at is None or now >= self._forgave_at + AMNESTY
        ):
            self._forgave_at = now
            backoff.reset()

    @contextlib.asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Make a try within this; there is one at a time.

        :raises LinkFailed: the network has changed, and the try has taken long already.
        """
        try:
            async with asyncio.timeout(None) as self._try:
                self._try_long_at = asyncio.get_running_loop().time() + self._long
                yield
        except TimeoutError:
            self._long = min(2 * self._long, LONGEST_TRY)
            raise LinkFailed("the network has changed") from None
        finally:
            self._try = None
        self._long = LONG_TRY

    def _change(self) -> asyncio.Future[None]:
        """Return what is done when the network changes next."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def _on_change(self, why: str) -> None:
        self._changes += 1
        if self._try is not None and self._try.when() is None:
            self._try.reschedule(max(asyncio.get_running_loop().time(), self._try_long_at))
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None
