"""Runs the doctor's quick checks beside the start of a role, and reports what they find."""

from __future__ import annotations

from quictunnel.cli.file_limit import raise_file_limit
from quictunnel.doctor.examination import examine
from quictunnel.doctor.finding import Finding, Level
from quictunnel.doctor.startup import startup_checks
from quictunnel.events import EventSink, StartupCheckFailed


async def report_problems(emit: EventSink) -> None:
    """Check this machine, and emit `StartupCheckFailed` for each problem.

    The checks run in threads, so they delay nothing.
    """

    def show(finding: Finding) -> None:
        if finding.level in (Level.WARNING, Level.FAILED):
            emit(StartupCheckFailed(finding.title, finding.sentence, finding.advice))

    await examine(startup_checks(raise_file_limit()), show)
