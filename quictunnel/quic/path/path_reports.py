"""Reports of what happens to the paths of a dialed link. No code, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quictunnel.events import PathKind, UdpProbeKind


def _ignore(*_: object) -> None:
    """Ignore a report."""


@dataclass(frozen=True, slots=True)
class PathReports:
    """The functions that reports are passed to. Each ignores them by default."""

    moved: Callable[[PathKind, str], None] = _ignore
    """Takes the kind of a link's path when it is another one, and the reason: a short phrase."""
    not_opened: Callable[[str], None] = _ignore
    """Takes why a path cannot be opened: a sentence. Called once for each new reason, until a path
    is open."""
    probed: Callable[[UdpProbeKind, str], None] = _ignore
    """Takes the result of probes of UDP when it is another one, and the result in a phrase."""
