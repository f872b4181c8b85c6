"""Policies: which clients a place or a service accepts, how many, and how fast they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from quictunnel.config.hosts import HostName
from quictunnel.config.networks import NO_NETWORKS, NetworkSet
from quictunnel.config.ports import PortRange
from quictunnel.config.units import format_duration, format_rate
from quictunnel.errors import OutOfRange

Place: TypeAlias = PortRange | HostName | None
"""A place at the remote where clients arrive: ports, a host name, or None for the outside
address."""

_MOST = 1_000_000

_RATE_RANGE = (1000, 125 * 10**9)  # one packet in a second or two; above any network card

_IDLE_RANGE = (1.0, 7 * 86400.0)  # clients pause for a second; after days, TCP has lost the peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules for the clients of one place or service. By default, every client is accepted."""

    allow: NetworkSet = NO_NETWORKS
    """Networks of accepted clients; empty for all."""

    deny: NetworkSet = NO_NETWORKS
    """Networks of rejected clients, also if `allow` contains them."""

    max_clients: int | None = None
    """Clients at a time."""

    max_clients_per_address: int | None = None
    """Clients at a time from one IPv4 address, or one IPv6 network of 64 bits."""

    max_rate_per_address: int | None = None
    """New clients a minute from one of these. As many may come at once."""

    rate_per_client: int | None = None
    """Bytes per second of one client, in each direction."""

    rate: int | None = None
    """Bytes per second of all clients together, in each direction."""

    idle_timeout: float | None = None
    """Seconds without a byte in either direction after which a client is reset."""

    def __post_init__(self) -> None:
        """Check the limits.

        :raises OutOfRange: one is not a reasonable number.
        """
        for key in ("max_clients", "max_clients_per_address", "max_rate_per_address"):
            value = getattr(self, key)
            if value is not None and not 1 <= value <= _MOST:
                raise OutOfRange(key.replace("_", "-"), f"must be from 1 to {_MOST:,}")
        check_rate("rate-per-client", self.rate_per_client)
        check_rate("rate", self.rate)
        least, most = _IDLE_RANGE
        if self.idle_timeout is not None and not least <= self.idle_timeout <= most:
            bounds = f"from {format_duration(least)} to {format_duration(most)}"
            raise OutOfRange("idle-timeout", f"must be {bounds}")


def check_rate(key: str, rate: int | None) -> None:
    """Check a rate in bytes per second.

    :param key: its key, for errors.
    :raises OutOfRange: it is not reasonable.
    """
    least, most = _RATE_RANGE
    if rate is not None and not least <= rate <= most:
        raise OutOfRange(key, f"must be from {format_rate(least)} to {format_rate(most)}")


ACCEPT_ALL = Policy()
"""The policy of a place without one."""


def describe_place(place: Place) -> str:
    """Return a place in words: `port 2222`, `host www.example.com` or `the outside address`."""
    if place is None:
        return "the outside address"
    return place.where if isinstance(place, PortRange) else f"host {place}"
