"""Where the ends of a way run: both on this host, or each on a host of its own."""

from __future__ import annotations

from dataclasses import dataclass

from testkit.namespaces import THIS_HOST, ProgramHost
from testkit.tunnel import LOOPBACK


@dataclass(frozen=True)
class HostPair:
    """Two hosts, and the addresses by which they reach each other."""

    remote: ProgramHost
    """Runs the tunnel's remote end. Clients are there as well."""
    origin: ProgramHost
    """Runs the tunnel's origin end and the origin server."""
    remote_address: str
    """The address by which the origin end and clients reach the remote end."""
    server_listen: str
    """The address on which the origin server listens."""
    server_address: str
    """The address by which clients reach the origin server directly."""


HERE = HostPair(THIS_HOST, THIS_HOST, LOOPBACK, LOOPBACK, LOOPBACK)
"""Everything on loopback."""
