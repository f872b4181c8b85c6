"""Policies: which clients a place at the remote accepts, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from quictunnel.config.addresses import Network
from quictunnel.config.hosts import HostName
from quictunnel.config.ports import PortRange
from quictunnel.errors import SettingsError

Place: TypeAlias = PortRange | HostName | None
"""A place at the remote where clients arrive: ports, a host name, or None for the outside
address."""

_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules for the clients of one place. By default, every client is accepted."""

    allow: tuple[Network, ...] = ()
    """Networks of accepted clients; empty for all."""

    deny: tuple[Network, ...] = ()
    """Networks of rejected clients, also if `allow` contains them."""

    max_clients: int | None = None
    """Clients at a time."""

    max_clients_per_address: int | None = None
    """Clients at a time from one IPv4 address, or one IPv6 network of 64 bits."""

    max_rate_per_address: int | None = None
    """New clients a minute from one of these. As many may come at once."""

    def __post_init__(self) -> None:
        """Check the limits.

        :raises SettingsError: one is not a reasonable number.
        """
        for key in ("max_clients", "max_clients_per_address", "max_rate_per_address"):
            value = getattr(self, key)
            if value is not None and not 1 <= value <= _MOST:
                raise SettingsError(f"{key.replace('_', '-')} must be from 1 to {_MOST:,}")


ACCEPT_ALL = Policy()
"""The policy of a place without one."""


def describe_place(place: Place) -> str:
    """Return a place in words: `port 2222`, `host www.example.com` or `the outside address`."""
    if place is None:
        return "the outside address"
    return place.where if isinstance(place, PortRange) else f"host {place}"
