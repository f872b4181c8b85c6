"""Starts and stops the attacker as a program."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from testkit.attacker.line import MEGABITS
from testkit.programs import PYTHON, Program, ProgramError, Programs

if TYPE_CHECKING:
    from testkit.namespaces import NamespaceHost

PREPARED_WITHIN = 60.0
"""Seconds in which the attacker must have precomputed its packets."""


def start_attacker(
    programs: Programs,
    host: NamespaceHost,
    attack: str,
    *,
    remote_host: NamespaceHost,
    remote: str,
    origin: str,
    megabits: float = MEGABITS,
) -> Program:
    """Start an attack, and wait until it has begun.

    :param host: the attacker's host, which needs no network.
    :param remote: the address and port of the remote, which is on `remote_host`.
    :param origin: the address of an honest origin.
    :param megabits: the rate of the attacker's line in Mbit/s.
    """
    words = ["-m", "testkit.attacker", attack, remote_host.pid, remote, origin, megabits]
    attacker = programs.start("attacker", *host.command(PYTHON, *words))
    attacker.wait_for("^ready", within=PREPARED_WITHIN)
    return attacker


def stop_attacker(attacker: Program) -> dict[str, Any]:
    """Stop an attack; return what the attacker reports.

    :raises ProgramError: it failed.
    """
    attacker.signal(signal.SIGTERM)
    if attacker.wait():
        raise ProgramError(f"the attacker failed: {attacker}")
    report: dict[str, Any] = json.loads(attacker.stdout.splitlines()[-1])
    return report
