"""When checks make a service unhealthy and healthy again, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from role_doubles import of_type

from quictunnel.config.addresses import HostPort
from quictunnel.config.health import HealthCheck
from quictunnel.config.ports import PortRange
from quictunnel.config.services import ServiceSettings
from quictunnel.events import ServiceHealthy, ServiceUnhealthy, UnhealthyReasonChanged
from quictunnel.origin.health import FIRST_WITHIN, JITTER, REPORT_DELAY, CheckFailed, HealthMonitor
from testkit.clock import seconds, settle, virtual_time

CHECK = HealthCheck(interval=10.0, failures=3, successes=2)
ROUND = 10.0 * (1 + JITTER) + 0.1
"""Seconds in which each service is checked at least once."""


def service(name: str, check: HealthCheck | None = CHECK, **fields) -> ServiceSettings:
    port = 1 + sum(name.encode())
    return ServiceSettings(
        name=name,
        check=check,
        **{"target": HostPort("localhost", 80), "ports": PortRange(port, port), **fields},
    )


class Servers:
    """The origin servers of services, and the checks of them."""

    def __init__(self, *services: ServiceSettings) -> None:
        self.down: dict[str, str] = {}
        self.checked: list[tuple[float, str]] = []
        self.events = []
        self.changes: list[tuple[float, frozenset[str]]] = []
        self.ended: list[asyncio.Task[None]] = []
        self.checks = HealthMonitor(
            self.changed, self.ended.append, self.events.append, random.Random(3), self.probe
        )
        self.checks.apply(services)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def probe(self, service: ServiceSettings) -> Probe:
        return Probe(self, service.name)

    def changed(self) -> None:
        self.changes.append((self.now, self.checks.unhealthy))

    def times(self, name: str) -> list[float]:
        """The times of a service's checks."""
        return [time for time, checked in self.checked if checked == name]

    async def check(self, name: str, times: int = 1) -> None:
        """Wait until a service was checked so many times more."""
        wanted = len(self.times(name)) + times
        while len(self.times(name)) < wanted:
            await seconds(0.1)

    async def end(self) -> None:
        self.checks.close()
        await settle()


class Probe:
    def __init__(self, servers: Servers, name: str) -> None:
        self._servers = servers
        self._name = name

    async def run(self) -> None:
        self._servers.checked.append((self._servers.now, self._name))
        if (reason := self._servers.down.get(self._name)) is not None:
            raise CheckFailed(reason)


@virtual_time
async def test_only_services_with_a_check_are_checked_again_and_again():
    servers = Servers(service("web"), service("ssh", None))
    await seconds(100)
    times = servers.times("web")
    assert times[0] <= FIRST_WITHIN
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(10 * (1 - JITTER) <= wait <= 10 * (1 + JITTER) for wait in waits)
    assert len(set(waits)) == len(waits)
    assert servers.times("ssh") == []
    assert servers.events == servers.changes == []
    await servers.end()


@virtual_time
async def test_the_first_checks_of_many_services_are_spread():
    servers = Servers(*(service(f"s{number}") for number in range(100)))
    await seconds(FIRST_WITHIN)
    times = [time for time, _ in servers.checked]
    assert len(times) == 100
    assert len(set(times)) == 100
    await servers.end()


@virtual_time
async def test_a_service_is_unhealthy_after_some_failures_in_a_row():
    servers = Servers(service("web"))
    servers.down["web"] = "connection refused"
    await servers.check("web", 2)
    del servers.down["web"]
    await servers.check("web")
    servers.down["web"] = "HTTP status 503"
    await servers.check("web", 2)
    assert servers.checks.unhealthy == frozenset()
    await servers.check("web")
    assert servers.checks.unhealthy == {"web"}
    await servers.check("web", 5)
    assert servers.events == [ServiceUnhealthy("web", "HTTP status 503")]
    ((_, unhealthy),) = servers.changes
    assert unhealthy == {"web"}
    await servers.end()


@virtual_time
async def test_another_reason_is_reported_and_the_offer_stays():
    servers = Servers(service("web"))
    servers.down["web"] = "connection refused"
    await servers.check("web", 4)
    servers.down["web"] = "HTTP status 404"
    await servers.check("web", 3)
    assert servers.events == [
        ServiceUnhealthy("web", "connection refused"),
        UnhealthyReasonChanged("web", "HTTP status 404"),
    ]
    assert len(servers.changes) == 1
    await servers.end()


@virtual_time
async def test_it_is_healthy_again_after_some_successes_in_a_row():
    servers = Servers(service("web"))
    servers.down["web"] = "no answer"
    await servers.check("web", 3)
    failed_at = servers.times("web")[-1]
    del servers.down["web"]
    await servers.check("web")
    servers.down["web"] = "no answer"
    await servers.check("web")
    del servers.down["web"]
    await servers.check("web")
    assert servers.checks.unhealthy == {"web"}
    await servers.check("web")
    assert servers.checks.unhealthy == frozenset()
    (healthy,) = of_type(servers.events, ServiceHealthy)
    assert healthy.duration == pytest.approx(servers.times("web")[-1] - failed_at)
    await servers.end()


@virtual_time
async def test_changes_of_many_services_are_reported_together():
    check = HealthCheck(interval=0.1, failures=1)
    servers = Servers(*(service(f"s{number}", check) for number in range(50)))
    servers.down = {f"s{number}": "no answer" for number in range(50)}
    await seconds(REPORT_DELAY + 0.2)
    assert len(of_type(servers.events, ServiceUnhealthy)) == 50
    ((_, unhealthy),) = servers.changes
    assert len(unhealthy) == 50
    await servers.end()


@virtual_time
async def test_a_reload_touches_only_the_checks_that_have_changed():
    web, ssh, git = service("web"), service("ssh"), service("git")
    servers = Servers(web, ssh, git)
    servers.down = {"web": "no answer", "ssh": "no answer", "git": "no answer"}
    await seconds(3 * ROUND)
    assert servers.checks.unhealthy == {"web", "ssh", "git"}
    other_server = service("ssh", target=HostPort("localhost", 81))
    servers.checks.apply([web, other_server])
    assert servers.checks.unhealthy == {"web"}
    before = len(servers.times("git"))
    reloaded_at = servers.now
    await seconds(FIRST_WITHIN)
    assert servers.times("ssh")[-1] > reloaded_at
    await seconds(3 * ROUND)
    assert servers.checks.unhealthy == {"web", "ssh"}
    assert len(servers.times("git")) == before
    servers.checks.apply([service("web", None), other_server])
    assert servers.checks.unhealthy == {"ssh"}
    await servers.end()


@virtual_time
async def test_a_check_that_is_slow_is_not_started_twice():
    servers = Servers()
    running = 0

    class Slow:
        async def run(self) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(30)
            running -= 1

    servers.checks = HealthMonitor(
        servers.changed,
        servers.ended.append,
        servers.events.append,
        random.Random(1),
        lambda _: Slow(),
    )
    servers.checks.apply([service("web")])
    await seconds(200)
    assert servers.ended == []
    await servers.end()


@virtual_time
async def test_a_bug_in_a_check_reaches_the_owner():
    servers = Servers()

    class Broken:
        async def run(self) -> None:
            raise ZeroDivisionError

    servers.checks = HealthMonitor(
        servers.changed,
        servers.ended.append,
        servers.events.append,
        random.Random(1),
        lambda _: Broken(),
    )
    servers.checks.apply([service("web")])
    await seconds(FIRST_WITHIN)
    (task,) = servers.ended
    assert isinstance(task.exception(), ZeroDivisionError)
    await servers.end()


@virtual_time
async def test_nothing_is_checked_or_reported_after_the_end():
    servers = Servers(service("web", HealthCheck(failures=1)))
    servers.down["web"] = "no answer"
    await servers.check("web")
    await servers.end()
    servers.checks.apply([service("web")])  # a reload while the origin drains
    await seconds(100)
    assert servers.changes == []
    assert len(servers.checked) == 1
    assert [task.cancelled() for task in servers.ended] == [True]
