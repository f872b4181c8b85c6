"""Reports of what happens to the paths of a dialed link. No code, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from quictunnel.quic.path.datagram_path import PathKind


class ProbeResult(enum.StrEnum):
    """The result of a probe of UDP."""

    ANSWERED = "answered"
    """The peer has answered."""
    UNANSWERED = "unanswered"
    """The peer has not answered."""
    NOT_SENT = "not-sent"
    """There is no route, or no address of the peer is known."""


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
    probed: Callable[[ProbeResult, str], None] = _ignore
    """Takes the result of probes of UDP when it is another one, and the result in a phrase."""
