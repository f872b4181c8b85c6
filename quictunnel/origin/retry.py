"""Times attempts to connect, and the waits between them. A network change cuts both short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from quictunnel.errors import LinkFailed
from quictunnel.origin.backoff import FIRST_DELAY, Backoff
from quictunnel.quic.dialer import MonitorFactory
from quictunnel.quic.path.network_monitor import NetworkMonitor

ATTEMPT_AGE = 1.0
"""Seconds after which an attempt is cancelled if the network has changed since it started.

Its socket may be bound to an address that is gone. Each cancelled attempt doubles this for the next
one. Otherwise an origin whose network changes all the time could not reach a distant remote."""

MAX_ATTEMPT_AGE = 8.0
"""The upper limit in seconds of the doubled `ATTEMPT_AGE`."""

RESET_INTERVAL = 10.0
"""Seconds between two network changes that may both reset the back-off."""


class RetryTimer:
    """Times the attempts of one origin. It watches the network while its context is entered.

    :param watch: makes the monitor that reports network changes.
    """

    def __init__(self, watch: MonitorFactory = NetworkMonitor.of_this_machine) -> None:
        self._make_monitor = watch
        self._monitor: NetworkMonitor | None = None
        self.network_changes = 0
        """The number of network changes so far."""
        self._woken = asyncio.Event()
        self._reset_at: float | None = None
        self._age = ATTEMPT_AGE
        self._attempt: asyncio.Timeout | None = None
        self._cancellable_at = 0.0

    def __enter__(self) -> None:
        self._monitor = self._make_monitor(asyncio.get_running_loop(), self._network_changed)

    def __exit__(self, *_: object) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    async def wait(self, backoff: Backoff, delay: float) -> None:
        """Wait before the next attempt: `delay` seconds, or until the network changes.

        :param backoff: is reset by a network change.
        """
        changes, woken = self.network_changes, self._woken
        # A burst of network changes must not cause a burst of attempts.
        await asyncio.sleep(min(delay, FIRST_DELAY))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay - FIRST_DELAY):
                await woken.wait()
        now = asyncio.get_running_loop().time()
        if changes != self.network_changes and (
            self._reset_at is None or now >= self._reset_at + RESET_INTERVAL
        ):
            self._reset_at = now
            backoff.reset()

    def wake(self) -> None:
        """End a wait: there is reason to believe that the next attempt will succeed."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    @contextlib.asynccontextmanager
    async def limit_attempt(self) -> AsyncIterator[None]:
        """Run an attempt in this context, one at a time.

        :raises LinkFailed: the network changed during an attempt that had taken a while.
        """
        try:
            async with asyncio.timeout(None) as self._attempt:
                self._cancellable_at = asyncio.get_running_loop().time() + self._age
                yield
        except TimeoutError:
            self._age = min(2 * self._age, MAX_ATTEMPT_AGE)
            raise LinkFailed("the network has changed") from None
        finally:
            self._attempt = None
        self._age = ATTEMPT_AGE

    def _network_changed(self, _reason: str) -> None:
        self.network_changes += 1
        if self._attempt is not None and self._attempt.when() is None:
            now = asyncio.get_running_loop().time()
            self._attempt.reschedule(max(now, self._cancellable_at))
        self.wake()
