"""Decides which services of an origin are healthy, by checks that repeat.

A service is healthy at first. It is unhealthy after some failed checks in a row, and healthy again
after some successful ones. Checks run whether or not there is a link, so that the state is known
when one is established.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from quictunnel.config.health import HealthCheck
from quictunnel.config.services import ServiceSettings
from quictunnel.events import (
    EventSink,
    ServiceHealthy,
    ServiceUnhealthy,
    UnhealthyReasonChanged,
)

JITTER = 0.1
"""The part of the interval by which the time between two checks varies, in either direction, so
that the checks of many services do not stay in step."""

FIRST_WITHIN = 1.0
"""Seconds within which the first checks are spread, unless the interval is shorter."""

REPORT_DELAY = 0.2
"""Seconds for which changes are collected. Many services may lead to one server, and each report
sends the remote the complete list."""


_HealthEvent: TypeAlias = ServiceHealthy | ServiceUnhealthy | UnhealthyReasonChanged


class CheckFailed(Exception):
    """An origin server does not work. The message says why, in lower case."""


class Probe(Protocol):
    """Checks the origin server of one service."""

    async def run(self) -> None:
        """Check once.

        :raises CheckFailed: the server does not work.
        """


def _make_probe(service: ServiceSettings) -> Probe:
    # Few origins check their servers, and the libraries for it need memory.
    from quictunnel.origin.health_probe import HealthProbe  # noqa: PLC0415

    return HealthProbe(service)


class HealthMonitor:
    """Checks an origin's services, with one task for each service that has a check.

    :param on_change: called soon after services have become healthy or unhealthy.
    :param on_task_end: called with each task that has ended, which may have failed.
    :param make_probe: makes the probe of a service.
    """

    def __init__(
        self,
        on_change: Callable[[], None],
        on_task_end: Callable[[asyncio.Task[None]], None],
        emit: EventSink,
        rng: random.Random,
        make_probe: Callable[[ServiceSettings], Probe] = _make_probe,
    ) -> None:
        self._on_change = on_change
        self._on_task_end = on_task_end
        self._emit = emit
        self._rng = rng
        self._make_probe = make_probe
        self._watches: dict[str, _Watch] = {}
        self._change: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def unhealthy(self) -> frozenset[str]:
        """The names of the services whose origin servers do not work."""
        return frozenset(name for name, watch in self._watches.items() if not watch.is_healthy)

    @property
    def failures(self) -> dict[str, str]:
        """Why the origin servers of the unhealthy services do not work, by the services' names."""
        return {name: watch.failure for name, watch in self._watches.items() if watch.failure}

    def has_passed(self, service: str) -> bool:
        """Return whether a service is healthy by a check, or has none."""
        watch = self._watches.get(service)
        return watch is None or (watch.is_healthy and watch.has_succeeded)

    def apply(self, services: Sequence[ServiceSettings]) -> None:
        """Check these services from now on. The checks of services that have not changed go on.

        A service with a new check, or a new origin server, is healthy at first. After `close`, this
        has no effect.
        """
        if self._is_closed:
            return
        old, self._watches = self._watches, {}
        for service in services:
            if service.check is None:
                continue
            watch = old.pop(service.name, None)
            if watch is not None and watch.is_for(service):
                self._watches[service.name] = watch
                continue
            if watch is not None:
                watch.task.cancel()
            self._watches[service.name] = self._start(service, service.check)
        for watch in old.values():
            watch.task.cancel()

    def close(self) -> None:
        """End all checks, for good."""
        self._is_closed = True
        for watch in self._watches.values():
            watch.task.cancel()
        self._watches.clear()
        if self._change is not None:
            self._change.cancel()
            self._change = None

    # -- Inside

    def _start(self, service: ServiceSettings, check: HealthCheck) -> _Watch:
        watch = _Watch(service, check, self._make_probe(service), self._report, self._rng)
        watch.task.add_done_callback(self._on_task_end)
        return watch

    def _report(self, event: _HealthEvent) -> None:
        self._emit(event)
        # Another reason does not change the offer.
        if self._change is None and not isinstance(event, UnhealthyReasonChanged):
            loop = asyncio.get_running_loop()
            self._change = loop.call_later(REPORT_DELAY, self._report_change)

    def _report_change(self) -> None:
        self._change = None
        self._on_change()


class _Watch:
    """Checks one service again and again."""

    def __init__(
        self,
        service: ServiceSettings,
        check: HealthCheck,
        probe: Probe,
        report: Callable[[_HealthEvent], None],
        rng: random.Random,
    ) -> None:
        self.is_healthy = True
        self.has_succeeded = False
        """Whether a check has succeeded so far."""
        self.failure: str | None = None
        """The reported reason, while it is not healthy."""
        self._service = service
        self._check = check
        self._probe = probe
        self._report = report
        self._rng = rng
        self._contrary = 0  # checks in a row that contradict `is_healthy`
        self._unhealthy_since = 0.0
        self.task = asyncio.create_task(self._run(), name=f"check of {service.name}")

    def is_for(self, service: ServiceSettings) -> bool:
        """Return whether a service is checked in the same way."""
        own = self._service
        return (own.check, own.target, own.ports, own.proxy_protocol) == (
            service.check,
            service.target,
            service.ports,
            service.proxy_protocol,
        )

    async def _run(self) -> None:
        interval = self._check.interval
        await asyncio.sleep(self._rng.uniform(0, min(FIRST_WITHIN, interval)))
        while True:
            try:
                await self._probe.run()
            except CheckFailed as exc:
                self._count(str(exc))
            else:
                self._count(None)
            await asyncio.sleep(interval * self._rng.uniform(1 - JITTER, 1 + JITTER))

    def _count(self, failure: str | None) -> None:
        """Count the result of a check: the reason why it has failed, or None."""
        self.has_succeeded = self.has_succeeded or failure is None
        if (failure is None) == self.is_healthy:
            self._contrary = 0
            if failure is not None and failure != self.failure:
                self.failure = failure
                self._report(UnhealthyReasonChanged(self._service.name, failure))
            return
        self._contrary += 1
        needed = self._check.failures if self.is_healthy else self._check.successes
        if self._contrary < needed:
            return
        self._contrary = 0
        self.is_healthy = failure is None
        self.failure = failure
        now = asyncio.get_running_loop().time()
        if failure is None:
            duration = now - self._unhealthy_since
            self._report(ServiceHealthy(self._service.name, duration))
        else:
            self._unhealthy_since = now
            self._report(ServiceUnhealthy(self._service.name, failure))
