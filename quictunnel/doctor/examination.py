"""Runs checks: independent ones at the same time, each with a deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, skipped

_log = logging.getLogger("quictunnel.doctor")


async def examine(checks: Sequence[Check], show: Callable[[Finding], None]) -> list[Finding]:
    """Run checks, and return their findings in the order of the checks.

    :param checks: each comes after those that it needs.
    :param show: called with each finding, in the same order, as soon as it is known.
    """
    running: dict[Check, asyncio.Task[list[Finding]]] = {}
    for check in checks:
        needed = {other: running[other] for other in check.needs}
        running[check] = asyncio.create_task(_run(check, needed), name=f"check {check.title}")
    findings: list[Finding] = []
    try:
        for task in running.values():
            for finding in await task:
                findings.append(finding)
                show(finding)
    finally:
        for task in running.values():
            task.cancel()
    return findings


async def _run(check: Check, needed: Mapping[Check, asyncio.Task[list[Finding]]]) -> list[Finding]:
    """Run a check after those that it needs, unless one of them has not passed."""
    for other, task in needed.items():
        if (finding := other.blocking(await task)) is not None:
            return [skipped(check.title, f"not checked, because of: {finding.title}")]
    try:
        async with asyncio.timeout(check.time_limit):
            return await check.run()
    except TimeoutError:
        sentence = f"no result within {check.time_limit:g} s"
        return [
            failed(check.title, sentence, "run the doctor again; the machine may be overloaded")
        ]
    except Exception as exc:
        # A fault of one check must not hide what the others have found.
        _log.exception("internal error in a check")
        sentence = f"the check itself has failed: {type(exc).__name__}: {exc}"
        return [failed(check.title, sentence, "please report this as a fault of quictunnel")]
