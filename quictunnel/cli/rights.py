"""The rights of a token in words, for people."""

from __future__ import annotations

from quictunnel.config.grants import Grant
from quictunnel.config.units import format_rate


def describe(grant: Grant) -> str:
    """Return the rights of a token in words; `none` if it has none."""
    words = ["outside address"] if grant.outside else []
    inherited = [
        name for name, own in (("ports", grant.ports), ("hosts", grant.hosts)) if own is None
    ]
    if grant.ports:
        words.append(f"ports {' '.join(map(str, grant.ports))}")
    if grant.hosts:
        words.append(f"hosts {' '.join(grant.hosts)}")
    if inherited:
        words.append(f"the remote's {' and '.join(inherited)}")
    if grant.max_clients is not None:
        words.append(f"{grant.max_clients} clients")
    if grant.rate is not None:
        words.append(f"{format_rate(grant.rate)}/s")
    return ", ".join(words) or "none"
