"""Why the remote cannot be reached, in one sentence, and what to check then. Words only."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

from quictunnel.config.addresses import HostPort
from quictunnel.errors import LinkFailed

NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN})
"""What the kernel says of an address that no network of this machine leads to."""


class Failure(NamedTuple):
    """What came of a try at one address."""

    host: str
    error: Exception
    """LinkFailed, and beneath it what the kernel or the clock said; or TimeoutError itself."""

    @property
    def cause(self) -> BaseException:
        """What lies beneath."""
        beneath = self.error.__cause__ if isinstance(self.error, LinkFailed) else None
        return beneath or self.error

    @property
    def has_no_route(self) -> bool:
        """No network of this machine leads there."""
        return isinstance(self.cause, OSError) and self.cause.errno in NO_ROUTE


def why_unreachable(target: HostPort, failures: Sequence[Failure]) -> str:
    """Return one sentence for all addresses of the remote's name.

    Those of a family that this machine does not have (IPv6, mostly) say nothing where there is
    another.
    """
    telling = [failure for failure in failures if not failure.has_no_route] or failures
    reasons: dict[str, list[str]] = {}
    for failure in telling:
        pattern = _pattern(failure)
        hosts = reasons.setdefault(pattern or str(failure.error), [])
        if pattern is not None:
            hosts.append(_host(failure.host))
    return "; ".join(
        reason.format(hosts=" and ".join(hosts), port=target.port) if hosts else reason
        for reason, hosts in reasons.items()
    )


def no_lookup(target: HostPort, within: float) -> str:
    """Return what to say of a name whose lookup has not ended in time."""
    return f"{target.host} does not resolve: no name server answers within {within:g} s"


def _pattern(failure: Failure) -> str | None:
    """Return words for it with places for hosts and port; None: the error has said all itself."""
    cause = failure.cause
    # TimeoutError is an OSError as well; the kernel's own has a number.
    if isinstance(cause, TimeoutError):
        return (
            "no answer from {hosts} on UDP port {port}: UDP may be blocked on the way; check that "
            "the remote runs, that this is its address and port, and that its firewall or "
            "security group lets UDP port {port} in"
        )
    if isinstance(cause, ConnectionRefusedError):
        return (
            "nobody listens at {hosts} on UDP port {port}: check that the remote runs, and on "
            "this port"
        )
    if failure.has_no_route:
        return "no network leads to {hosts}: check that this machine is connected"
    return None


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
