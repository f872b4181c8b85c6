"""Grants: the rights that a token has at a remote."""

from __future__ import annotations

import time
from dataclasses import dataclass

from quictunnel.config.hosts import HostName
from quictunnel.config.policy import check_rate
from quictunnel.config.ports import PortRange
from quictunnel.errors import OutOfRange

_MAX_CLIENTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The rights of a token. The defaults are those of a token without a table of its own."""

    outside: bool = True
    """Whether they may serve the remote's outside address."""

    ports: tuple[PortRange, ...] | None = None
    """TCP ports that they may ask for; None for those of the remote's `ports`."""

    hosts: tuple[HostName, ...] | None = None
    """Host names that they may ask for; None for those of the remote's `hosts`."""

    expires_at: float | None = None
    """When the token expires, in seconds since 1970; None for never."""

    max_clients: int | None = None
    """Clients that they may have at a time, all together; None for the remote's own limit."""

    rate: int | None = None
    """Bytes per second of all their clients together, in each direction; None for no limit."""

    def __post_init__(self) -> None:
        """Check the limits.

        :raises OutOfRange: one is not a reasonable number.
        """
        check_rate("rate", self.rate)
        if self.max_clients is not None and not 1 <= self.max_clients <= _MAX_CLIENTS:
            raise OutOfRange("max-clients", f"must be from 1 to {_MAX_CLIENTS:,}")

    @property
    def has_expired(self) -> bool:
        """Whether the token has expired."""
        return self.expires_at is not None and time.time() >= self.expires_at


DEFAULT_GRANT = Grant()
"""The rights of a token without a grant."""
