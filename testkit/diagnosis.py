"""`quictunnel doctor` as a program, and its report."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from testkit.namespaces import THIS_HOST, ProgramHost
from testkit.programs import QUICTUNNEL, Program, ProgramError, Programs

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCTOR_PATIENCE = 90.0
"""Seconds after which the doctor has failed. On a quiet machine it takes less than fifteen."""


class Diagnosis:
    """The report of one run.

    :param program: the doctor, which runs or has run.
    """

    def __init__(self, program: Program) -> None:
        self.exit_code = program.wait(DOCTOR_PATIENCE)
        """1 if there is a problem."""
        try:
            report = json.loads(program.stdout)
        except json.JSONDecodeError:
            raise ProgramError(f"no report from {program}") from None
        self._findings = report["findings"]

    @property
    def problems(self) -> list[str]:
        """The titles and sentences of what does not work."""
        return self._texts("failed")

    @property
    def warnings(self) -> list[str]:
        """The titles and sentences of what could be better."""
        return self._texts("warning")

    def blames(self, cause: str) -> bool:
        """Return whether this is the only problem.

        :param cause: a pattern for its title and sentence.
        """
        return self.exit_code == 1 and _match(self.problems, cause)

    def warns_of(self, cause: str) -> bool:
        """Return whether nothing is wrong, except for a warning of this cause."""
        return self.exit_code == 0 and not self.problems and _match(self.warnings, cause)

    def advises(self, advice: str) -> bool:
        """Return whether the advice of a problem or a warning matches a pattern."""
        return any(
            re.search(advice, finding["advice"])
            for finding in self._findings
            if finding["level"] in ("failed", "warning")
        )

    def confirms(self, title: str) -> bool:
        """Return whether the check with this title has found that all is well."""
        levels = [each["level"] for each in self._findings if each["title"] == title]
        return levels == ["ok"]

    def _texts(self, level: str) -> list[str]:
        return [
            f"{finding['title']}: {finding['sentence']}"
            for finding in self._findings
            if finding["level"] == level and finding["title"] != "socket buffers"
        ]

    def __repr__(self) -> str:
        return json.dumps(self._findings, indent=1)


def start_doctor(
    programs: Programs,
    *words: object,
    host: ProgramHost = THIS_HOST,
    before: Sequence[object] = (),
    **environment: str,
) -> Program:
    """Start a doctor with these arguments.

    :param host: where it runs.
    :param before: a command that runs the doctor.
    """
    command = host.command(*before, QUICTUNNEL, "doctor", *words, "--json")
    return programs.start("doctor", *command, **environment)


def diagnose(
    programs: Programs,
    *words: object,
    host: ProgramHost = THIS_HOST,
    before: Sequence[object] = (),
    **environment: str,
) -> Diagnosis:
    """Run a doctor with these arguments, and return its report. See `start_doctor`."""
    return Diagnosis(start_doctor(programs, *words, host=host, before=before, **environment))


def _match(texts: Sequence[str], cause: str) -> bool:
    return len(texts) == 1 and re.search(cause, texts[0]) is not None
