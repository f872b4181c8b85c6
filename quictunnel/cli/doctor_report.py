"""Prints the doctor's findings: a line for each as soon as it is known, or JSON at the end."""

from __future__ import annotations

import sys
from dataclasses import asdict

import msgspec

from quictunnel import __version__
from quictunnel.cli.output import print_line
from quictunnel.cli.readable import counted
from quictunnel.doctor.finding import Finding, Level
from quictunnel.escaping import escape

MARKS = {Level.OK: "✓", Level.SKIPPED: "-", Level.WARNING: "!", Level.FAILED: "✗"}
"""The beginning of a line."""

PLAIN_MARKS = MARKS | {Level.OK: "ok", Level.FAILED: "X"}
"""The same for a terminal whose encoding has no such characters."""


class Report:
    """The findings of one run.

    :param role: `origin`, `remote` or `machine`.
    :param as_json: whether to print one JSON object at the end instead of lines.
    """

    def __init__(self, role: str, *, as_json: bool) -> None:
        self._role = role
        self._as_json = as_json
        self._marks = MARKS if _can_print("".join(MARKS.values())) else PLAIN_MARKS
        self._findings: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Take a finding, and print its line."""
        self._findings.append(finding)
        if self._as_json:
            return
        print_line(f"{self._marks[finding.level]} {escape(f'{finding.title}: {finding.sentence}')}")
        if finding.advice:
            print_line(
                f"  → {escape(finding.advice)}"
                if _can_print("→")
                else escape(f"  > {finding.advice}")
            )

    def count(self, level: Level) -> int:
        """Return the number of findings of a level."""
        return sum(finding.level is level for finding in self._findings)

    def finish(self) -> None:
        """Print the last line, or the JSON object."""
        if self._as_json:
            report = {
                "version": __version__,
                "role": self._role,
                "ok": not self.count(Level.FAILED),
                "findings": [asdict(finding) for finding in self._findings],
            }
            print_line(msgspec.json.format(msgspec.json.encode(report)).decode())
            return
        problems, warnings = self.count(Level.FAILED), self.count(Level.WARNING)
        if not problems and not warnings:
            print_line("no problem found")
            return
        print_line(f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}")


def _can_print(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
