"""The bounds of every attack, and which of them a measurement breaks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

ECHO_FACTOR, ECHO_MORE = 3.0, 30.0
"""p99 of echoes on open connections: at most a multiple of the idle one, or so many ms more."""

NEW_MORE = 100.0
"""ms that a new client may take longer than without an attack (p99)."""

ADMITTED_WITHIN = 3.0
"""Seconds in which an origin that starts during an attack is ready, the slowest of all."""

MEMORY_MORE = 64.0
"""MB by which the remote's resident memory may grow."""

CPU = {"aioquic": 50.0, "quinn": 25.0}
"""Per cent of a processor that the remote may use, by engine."""

LOG_LINES = 10.0
"""Warnings and errors in the remote's log, per minute."""


@dataclass(frozen=True)
class AttackFigures:
    """The figures of one attack on a remote with one engine."""

    attack: str
    engine: str
    seconds: float
    packets_per_second: float
    megabits: float
    """Mbit/s that the attacker has sent."""
    echo_idle: float
    """ms: p99 of echoes on open connections before the attack."""
    echo: float
    new_idle: float
    """ms: p99 of the time until a new client has its first answer, before the attack."""
    new: float
    admitted_idle: float
    """s: the slowest start of an origin before the attack, from the start of the program."""
    admitted: float
    dialled: float
    """s: the slowest start of an origin during the attack, from its first attempt to connect."""
    memory: float
    """MB by which the remote has grown."""
    cpu_idle: float
    """Per cent of a processor before the attack."""
    cpu: float
    log_lines: float
    """Warnings and errors per minute, or in all if the attack was shorter."""
    counts: dict[str, int]
    """Numbers of events that the attacker reports."""
    faults: tuple[str, ...] = ()
    """Events that must not happen at all, in words."""

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Self:
        """Return the figures that were saved."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in saved.items() if name in names})

    def broken(self) -> list[str]:
        """Return the bounds that are broken, in words."""
        found = list(self.faults)
        if self.echo > max(self.echo_idle * ECHO_FACTOR, self.echo_idle + ECHO_MORE):
            found.append("echo")
        if self.new > self.new_idle + NEW_MORE:
            found.append("new clients")
        if self.admitted > ADMITTED_WITHIN:
            found.append("admission")
        if self.memory > MEMORY_MORE:
            found.append("memory")
        if self.cpu > CPU[self.engine]:
            found.append("CPU")
        if self.log_lines > LOG_LINES:
            found.append("log")
        return found
