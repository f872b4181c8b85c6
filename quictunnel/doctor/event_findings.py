"""Turns events about files and tokens, which the roles log as warnings, into findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from quictunnel.config.secret_strength import MIN_BITS
from quictunnel.doctor.finding import Finding, warning
from quictunnel.events import (
    CertificateOutOfDate,
    Event,
    LoopSuspected,
    OwnedByAnother,
    PolicyUnused,
    ProxyIgnored,
    SecretExposed,
    SecretWeak,
    TokenExpired,
    WritableByEveryone,
    WritableByGroup,
)

NEW_TOKEN = "'quictunnel token new' on the remote creates a good one"  # noqa: S105 - advice

_SENTENCES: dict[type[Event], Callable[[Any], tuple[str, str]]] = {
    CertificateOutOfDate: lambda event: (
        f"the certificate {event.file} is {event.reason}",
        "renew it, and check this machine's clock with 'date'",
    ),
    LoopSuspected: lambda event: (
        f"service {event.service}: {event.target} is probably {event.where} of the remote on this "
        "machine, so clients would go round in a loop",
        "give the server a port of its own",
    ),
    OwnedByAnother: lambda event: (
        f"{event.path} belongs to {event.owner}, who can change it",
        "run the remote as that user, or choose another --state-dir",
    ),
    PolicyUnused: lambda event: (
        f"policy.{event.policy} is for no place: {event.reason}",
        "correct the place, or remove the policy",
    ),
    ProxyIgnored: lambda event: (
        f"{event.reason}, so no proxy is used",
        "correct the variable, or give the proxy with --proxy",
    ),
    SecretExposed: lambda event: (
        f"other users of this machine can use the secret in {event.file} (mode {event.mode})",
        event.command,
    ),
    SecretWeak: lambda event: (
        f"the secret of token {event.token} is easy to guess: it has about {event.bits} bits, and "
        f"should have {MIN_BITS}",
        NEW_TOKEN,
    ),
    TokenExpired: lambda event: (
        f"the token {event.token} has expired, so the remote refuses its origins",
        "change its 'expires', or create another one with 'quictunnel token new'",
    ),
    WritableByEveryone: lambda event: (
        f"every user can change {event.directory}",
        "make sure that all users of this container belong to the service",
    ),
    WritableByGroup: lambda event: (
        f"the group {event.group} can change {event.directory}",
        event.command or "choose another --state-dir",
    ),
}


def findings_of(title: str, events: Iterable[Event]) -> list[Finding]:
    """Return a warning for each event of a kind that a user should act on."""
    found = [_SENTENCES[type(event)](event) for event in events if type(event) in _SENTENCES]
    return [warning(title, *texts) for texts in dict.fromkeys(found)]
