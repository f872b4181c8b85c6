"""Compares the versions of both ends."""

from __future__ import annotations

import re

from quictunnel.doctor.finding import Finding, ok, warning
from quictunnel.escaping import cut_name

TITLE = "versions"

_NUMBERS = re.compile(r"quictunnel/(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?!\d)", re.ASCII)


def compare_versions(own: str, agent: str) -> Finding:
    """Return the finding about this version and the remote's.

    :param own: this program's version.
    :param agent: the remote's program and version, from its welcome; empty if it does not say.
    """
    match, mine = _NUMBERS.match(agent), _NUMBERS.match(f"quictunnel/{own}")
    if not agent:
        return warning(
            TITLE,
            f"this is version {own}, and the remote is so old that it does not say its version",
            "update quictunnel on the remote",
        )
    theirs = cut_name(agent)
    if match is None or mine is None:
        return ok(TITLE, f"this is version {own}, and the remote says {theirs}")
    if (a := _parts(match)) < (b := _parts(mine)):
        return warning(
            TITLE,
            f"the remote has {theirs}, which is older than {own} here",
            "update quictunnel on the remote; the ends understand each other, but new functions "
            "need both",
        )
    if a > b:
        return warning(
            TITLE, f"the remote has {theirs}, which is newer than {own} here", "update this end"
        )
    return ok(TITLE, f"both ends have version {own}")


def _parts(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(map(int, match.groups()))
