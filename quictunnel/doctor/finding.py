"""The findings of checks."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad a finding is. The values are those of `quictunnel doctor --json`."""

    OK = "ok"
    SKIPPED = "skipped"
    """It could not be checked, because something else is missing or has failed."""
    WARNING = "warning"
    """The tunnel works, but worse than it could."""
    FAILED = "failed"
    """The tunnel does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    level: Level
    title: str
    """The subject, in a few words."""
    sentence: str
    """The fact. It may quote a peer or a file, so it needs `escape`."""
    advice: str = ""
    """The remedy; empty if none is needed."""


def ok(title: str, sentence: str, advice: str = "") -> Finding:
    """Return a finding of something that works."""
    return Finding(Level.OK, title, sentence, advice)


def skipped(title: str, sentence: str, advice: str = "") -> Finding:
    """Return a finding of something that was not checked."""
    return Finding(Level.SKIPPED, title, sentence, advice)


def warning(title: str, sentence: str, advice: str) -> Finding:
    """Return a finding of something that could be better."""
    return Finding(Level.WARNING, title, sentence, advice)


def failed(title: str, sentence: str, advice: str) -> Finding:
    """Return a finding of something that does not work."""
    return Finding(Level.FAILED, title, sentence, advice)
