"""The state of a running role, as frozen values: what the admin interface and metrics show.

A role makes them on request. Addresses are text, as in `events`. Durations are seconds, sizes are
bytes. Each value can be written as JSON, with the fields as members.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from quictunnel.events import PathKind

RoleName = Literal["remote", "origin"]

ClientState = Literal["waiting", "connecting", "open", "closing"]

ServiceState = Literal["up", "silent", "refused", "unhealthy", "down"]


@dataclass(frozen=True, slots=True)
class ClientSnapshot:
    """A client that is connected now."""

    id: str
    """Identifies the client at this role. It is the id in the logs of both ends, if the remote has
    sent one."""
    address: str | None
    """The client's address; None if it is not known."""
    service: str
    """The service that the client uses; empty while the remote does not know it yet."""
    origin: str | None
    """At the remote, the name of the origin that serves the client; None while it waits."""
    link: str | None
    """The id of its link; None while it waits for one."""
    state: ClientState
    """`waiting` for an origin; `connecting` while the origin dials its server, which only the
    origin knows; `open`; or `closing` once one direction has ended."""
    age: float
    """Seconds since it was accepted."""
    bytes_up: int
    """Bytes from the client to the origin server."""
    bytes_down: int
    """Bytes from the origin server to the client."""


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """A service, and where clients reach it."""

    name: str
    """The service's name. At the remote, services of several origins may have one name."""
    places: tuple[str, ...]
    """Where clients reach it at the remote, such as `[::]:9000` or `www.example.com`."""
    urls: tuple[str, ...]
    """Addresses that a person can open, such as `https://www.example.com/` or
    `tcp://203.0.113.7:2222`; empty if none is known."""
    target: str | None
    """The address of its origin server; None at the remote."""
    origins: tuple[str, ...]
    """At the remote, the names of the origins that serve it, or of the one that does not get it.
    Empty at the origin."""
    state: ServiceState
    """`up` if a new client is forwarded at once; `silent` if its links do not answer; `refused` if
    the remote does not grant it; `unhealthy` if its checks fail; `down` without a link."""
    reason: str | None
    """Why it is not `up`; None if it is."""
    clients: int
    """Clients connected now."""


@dataclass(frozen=True, slots=True)
class LinkSnapshot:
    """A link whose peer has proven itself."""

    id: str
    """Identifies the link at both ends, from its start to its end."""
    origin: str
    """The origin's name."""
    token: str | None
    """The token's id; None if the origin has none."""
    agent: str
    """The peer's program and version, as it reports them; empty if it does not."""
    path: PathKind
    """The kind of path that carries the link's datagrams."""
    local: str
    """This end's address, as far as it is known."""
    peer: str
    """The peer's address."""
    age: float
    """Seconds since the peer has proven itself."""
    silent_for: float | None
    """Seconds since the peer was last heard, if it does not answer; None if it does."""
    hold: float
    """Seconds of silence after which the link is lost."""
    is_draining: bool
    """Whether the link accepts no new clients, and ends when the current ones have left."""
    services: tuple[str, ...]
    """Names of the services that are granted on it."""
    clients: int
    """Clients connected now."""
    rtt: float | None
    """Smoothed round-trip time; None before the first sample."""
    congestion_window: int
    """Bytes that may be in flight."""
    mtu: int
    """Largest datagram that is sent."""
    bytes_sent: int
    """Bytes of datagrams sent since the link's start."""
    bytes_received: int
    """Bytes of datagrams received since then."""
    packets_sent: int
    """QUIC packets sent since then."""
    packets_lost: int
    """QUIC packets declared lost since then (RFC 9002, section 6.1)."""
    bytes_lost: int
    """Bytes in those packets. Their data was sent again."""
    path_reason: str | None = None
    """At the origin, why the link has moved to this path; None if it has started on it."""
    udp_probe: str | None = None
    """At the origin, what the last probe of UDP has found; None if there was none."""


@dataclass(frozen=True, slots=True)
class RoleSnapshot:
    """A role as a whole."""

    role: RoleName
    """Which role this is."""
    name: str
    """The origin's name, or the remote's UDP address for origins."""
    engine: str
    """The QUIC engine's name."""
    addresses: tuple[str, ...]
    """At the remote, where it accepts origins and clients, such as `udp [::]:9001`. At the origin,
    the remote as configured."""
    age: float
    """Seconds since the start."""
    clients: int
    """Clients connected now, with those that wait."""
    max_clients: int
    """The limit on clients."""
    unread_bytes: int
    """Bytes in write buffers for clients or origin servers that do not take them. The engine holds
    more, within `--unread-limit`, while these are full."""
    is_draining: bool
    """Whether the role is ending."""
    is_ready: bool
    """Whether a new client is served now: at the origin, a link answers and at least one granted
    service is healthy; at the remote, it accepts origins and clients."""
    reason: str | None
    """Why it is not ready; None if it is."""


class ObservedRole(Protocol):
    """A role, as the admin interface sees it: its state, and the commands that it obeys."""

    def describe(self) -> RoleSnapshot:
        """Return the role's state."""

    def list_services(self) -> Sequence[ServiceSnapshot]:
        """Return all services. At the remote, they are those that connected origins ask for."""

    def iterate_services(self) -> Iterator[ServiceSnapshot]:
        """Iterate over the same services. Each is described when the iterator reaches it.

        The caller may let the event loop run in between.
        """

    def list_links(self) -> Sequence[LinkSnapshot]:
        """Return all links, the oldest first."""

    def iterate_clients(self) -> Iterator[ClientSnapshot]:
        """Iterate over the clients that are connected now, in no order.

        Each is described when the iterator reaches it. The caller may let the event loop run in
        between. A client that has left by then is described as it was at its end.
        """

    def close_client(self, client_id: str) -> bool:
        """Reset a client's connection at both ends. Return False if there is no such client."""

    def drain(self) -> None:
        """Accept no new clients, let current ones finish within the grace, then end."""
