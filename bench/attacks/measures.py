"""Measures one attack: a site without an attack, and then the same site during the attack."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.attacks.bounds import AttackFigures
from bench.attacks.clients import MeasuringClients, Samples
from bench.attacks.newcomers import FirstLink, Newcomers
from bench.attacks.site import AttackSite
from bench.line.figures import percentile
from testkit.attacker.program import stop_attacker

SETTLE = 2.0
"""Seconds after the start of clients before anything counts."""

LOOK_INTERVAL = 0.25
"""Seconds between two looks at the remote's memory."""

MB = 1_000_000

NOTICES = ("INFO", "DEBUG")
"""Levels of the log lines of normal operation, such as those of honest clients."""


@dataclass(frozen=True)
class Period:
    """The measurements of a time."""

    samples: Samples
    admitted: list[FirstLink]
    cpu: float
    """The share of a processor."""
    memory: int
    """The most bytes."""
    lines: int
    """Warnings and errors."""
    has_ended: bool
    """Whether the remote has ended."""


def measure(
    attack: str, engine: str, *, seconds: float, idle: float, keep: Path | None = None
) -> AttackFigures:
    """Measure an attack on a new site.

    :param seconds: the length of the attack.
    :param idle: the time before it that it is compared with.
    :param keep: a folder for the logs.
    """
    with contextlib.ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attacks-")))
        else:
            folder = keep / f"{attack}-{engine}"
            folder.mkdir(parents=True, exist_ok=True)
        site = stack.enter_context(AttackSite(engine, folder))
        clients = MeasuringClients(site.remote_host.socket, site.outside)
        newcomers = Newcomers(site)
        for thread in (clients, newcomers):
            thread.start()
            stack.callback(thread.stop)
        time.sleep(SETTLE)
        clients.take()
        before = take_period(site, clients, newcomers, idle)
        attacker = site.start_attacker(attack)
        clients.take()
        newcomers.take()
        during = take_period(site, clients, newcomers, seconds)
        report = stop_attacker(attacker)
    return AttackFigures(
        attack=attack,
        engine=engine,
        seconds=seconds,
        packets_per_second=report["packets"] / report["seconds"],
        megabits=report["bytes"] * 8 / report["seconds"] / 1e6,
        echo_idle=p99(before.samples.echoes),
        echo=p99(during.samples.echoes),
        new_idle=p99(before.samples.starts),
        new=p99(during.samples.starts),
        admitted_idle=max((one.started for one in before.admitted), default=0.0),
        admitted=max((one.started for one in during.admitted), default=seconds),
        dialled=max((one.dialled for one in during.admitted), default=seconds),
        memory=(during.memory - before.memory) / MB,
        cpu_idle=before.cpu * 100,
        cpu=during.cpu * 100,
        log_lines=during.lines / max(seconds / 60, 1.0),
        counts=report["counts"],
        faults=tuple(faults(during)),
    )


def take_period(
    site: AttackSite, clients: MeasuringClients, newcomers: Newcomers, seconds: float
) -> Period:
    """Measure for so many seconds."""
    remote = site.remote
    lines, cpu, start = warnings(remote.stderr), remote.cpu(), time.monotonic()
    memory = 0
    while (now := time.monotonic()) < start + seconds and remote.process.poll() is None:
        memory = max(memory, remote.resident_memory())
        time.sleep(min(LOOK_INTERVAL, start + seconds - now))
    has_ended = remote.process.poll() is not None
    used = 0.0 if has_ended else (remote.cpu() - cpu) / (time.monotonic() - start)
    return Period(
        clients.take(),
        newcomers.take(),
        used,
        memory,
        warnings(remote.stderr) - lines,
        has_ended,
    )


def faults(period: Period) -> list[str]:
    """Return what must not happen at all."""
    found = ["the remote ended"] if period.has_ended else []
    if period.samples.lost:
        found.append(f"{period.samples.lost} open connections lost")
    if period.samples.failed:
        found.append(f"{period.samples.failed} new clients without an answer")
    return found


def warnings(log: str) -> int:
    """Return how many lines of a log are warnings, errors or of no level."""
    return sum(
        line[25:].split(maxsplit=1)[:1] not in ([n] for n in NOTICES) for line in log.splitlines()
    )


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds; 0 if there is none."""
    return percentile(seconds, 0.99) * 1000 if seconds else 0.0
