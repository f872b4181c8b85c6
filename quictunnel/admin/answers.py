"""The answers of the admin API, each of which becomes a JSON object with these members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quictunnel.admin.link_changes import LinkChange
from quictunnel.admin.link_history import LinkSample
from quictunnel.snapshots import ClientSnapshot, LinkSnapshot, RoleSnapshot, ServiceSnapshot


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers about a role at this moment."""

    links: int
    """Links whose peers have proven themselves."""
    silent_links: int
    """Those that do not answer."""
    services: int
    """Services, also those that are not reachable."""
    services_up: int
    """Services whose clients are forwarded at once."""
    rate_up: float
    """Bytes per second on the links towards origins, as in the last sample."""
    rate_down: float
    """Bytes per second on the links towards the remote, as in the last sample."""


@dataclass(frozen=True, slots=True)
class Status(RoleSnapshot):
    """A role as a whole, and the program that it runs in."""

    version: str
    """The program's version."""
    pid: int
    """The id of its process."""
    time: float
    """The time of this answer, in seconds since 1970."""
    last_event: int
    """The number of the last event."""
    summary: Summary
    """Numbers about links, services and bytes."""


@dataclass(frozen=True, slots=True)
class ServiceList:
    """All services."""

    services: Sequence[ServiceSnapshot]
    """The services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEntry(LinkSnapshot):
    """A link with its last ten minutes."""

    history: Sequence[LinkSample]
    """Samples, the oldest first: one a second after a request, otherwise one in 5 seconds."""
    changes: Sequence[LinkChange]
    """Silences and moves, the oldest first."""


@dataclass(frozen=True, slots=True)
class LinkList:
    """All links."""

    links: Sequence[LinkEntry]
    """The links, the oldest first."""


@dataclass(frozen=True, slots=True)
class OriginEntry:
    """An origin that is connected to a remote."""

    name: str
    """Its name."""
    token: str | None
    """The id of its token."""
    agent: str
    """Its program and version, as it reports them."""
    address: str
    """The address of its newest link."""
    links: Sequence[str]
    """The ids of its links, the oldest first."""
    services: Sequence[str]
    """The names of its services."""
    clients: int
    """Clients connected now."""
    age: float
    """Seconds since it connected."""


@dataclass(frozen=True, slots=True)
class OriginList:
    """All origins that are connected to this remote."""

    origins: Sequence[OriginEntry]
    """The origins, the one that connected first in front."""


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A remote of an origin."""

    address: str
    """Its address as configured."""
    state: Literal["up", "silent", "down"]
    """`up` if a link answers, `silent` if there are only links that do not, `down` without one."""
    links: Sequence[str]
    """The ids of the links to it, the oldest first."""


@dataclass(frozen=True, slots=True)
class RemoteList:
    """The remotes of this origin."""

    remotes: Sequence[RemoteEntry]
    """The remotes."""


@dataclass(frozen=True, slots=True)
class ClientEntry(ClientSnapshot):
    """A client and how fast it is."""

    rate_up: float
    """Bytes per second from the client, since the last request or on average."""
    rate_down: float
    """Bytes per second towards the client, since the last request or on average."""


@dataclass(frozen=True, slots=True)
class ClientPage:
    """Some of the clients."""

    total: int
    """The number of clients of which this is a part."""
    clients: Sequence[ClientEntry]
    """The clients."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The part of the state that changes from second to second."""

    status: Status
    """The role as a whole."""
    links: Sequence[LinkEntry]
    """The links, the oldest first."""
    clients: ClientPage
    """Some of the clients."""


@dataclass(frozen=True, slots=True)
class RefusalList:
    """Recent refusals."""

    refusals: Sequence[dict[str, Any]]
    """Events about refused services, clients and origins, the newest first."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The configuration was read again."""

    restart_needed: Sequence[str]
    """Keys that have changed and take effect only after a restart."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The command is carried out."""


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """The process works."""

    live: bool
    """Always true: a process that does not work does not answer."""


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """Whether a new client would be served now."""

    ready: bool
    """Whether it would."""
    reason: str | None
    """Why not; None if it would, or if the request has no token."""


@dataclass(frozen=True, slots=True)
class FailureAnswer:
    """A request failed."""

    error: str
    """Why, in a sentence."""
