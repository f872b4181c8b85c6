"""Decides which origin serves which service. It does no I/O, so decisions never interleave."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from quictunnel.remote.superseded import SupersededInstances


@dataclass(frozen=True, slots=True)
class Identity:
    """Identifies an origin. A second link of the same origin takes over."""

    token_id: str
    name: str


class ServingSession(Protocol):
    """A session, as the registry sees it."""

    @property
    def is_usable(self) -> bool:
        """Whether a new client can be forwarded over its link now."""


SessionT = TypeVar("SessionT", bound=ServingSession)


class Registry(Generic[SessionT]):
    """The services and the sessions that serve them.

    :param on_usable: called with a service when new clients can be forwarded to it again.
    """

    def __init__(self, on_usable: Callable[[str], None]) -> None:
        self._on_usable = on_usable
        self._by_service: dict[str, SessionT] = {}
        self._by_identity: dict[Identity, SessionT] = {}
        self._identities: dict[SessionT, Identity] = {}
        self._superseded = SupersededInstances()

    def find(self, service: str) -> SessionT | None:
        """Return the session that a new client of this service can be forwarded to now, if any."""
        session = self._by_service.get(service)
        return session if session is not None and session.is_usable else None

    def services_of(self, session: SessionT) -> tuple[str, ...]:
        """Return the services of a session."""
        return tuple(name for name, other in self._by_service.items() if other is session)

    def claim(
        self, session: SessionT, identity: Identity, services: Collection[str], *, instance: str
    ) -> tuple[SessionT, ...]:
        """Replace a session's services by these; return the sessions that lost one by it.

        An earlier session of the same origin loses all of its services. Another origin loses a
        service only while its link is silent: the link may be dead, and clients are waiting.

        :param instance: the origin's process. An instance that a later one has superseded cannot
            take its place back, unless the later one's link is silent.
        :raises Refused: SERVICE_TAKEN or TAKEN_OVER; then nothing has changed.
        """
        losers: dict[SessionT, None] = {}
        predecessor = self._by_identity.get(identity, session)
        if predecessor is not session:
            if predecessor.is_usable and self._superseded.is_superseded(identity, instance):
                raise Refused(
                    Code.TAKEN_OVER,
                    "another origin with the same token and name has taken over; a remote serves "
                    "one of them at a time, so run a remote for each",
                )
            losers[predecessor] = None
        for name in services:
            other = self._by_service.get(name, session)
            if other is session or other is predecessor:
                continue
            if other.is_usable:
                raise Refused(
                    Code.SERVICE_TAKEN,
                    f"{self._describe(other, identity)} already serves {name!r} here; a service "
                    "has one origin at a time, so stop that one, or run a remote for each",
                )
            losers[other] = None
        if predecessor is not session:
            self.release(predecessor)
        for name in self.services_of(session):
            del self._by_service[name]
        self._by_identity[identity] = session
        self._identities[session] = identity
        self._by_service.update(dict.fromkeys(services, session))
        self._superseded.record(identity, instance)
        return tuple(losers)

    def release(self, session: SessionT) -> None:
        """Remove a session; without effect if it serves nothing."""
        identity = self._identities.pop(session, None)
        if identity is not None and self._by_identity.get(identity) is session:
            del self._by_identity[identity]
        for name in self.services_of(session):
            del self._by_service[name]

    def notify_usable(self, session: SessionT) -> None:
        """Report all services of a session that has connected or recovered as usable."""
        for name in self.services_of(session):
            self._on_usable(name)

    def _describe(self, session: SessionT, identity: Identity) -> str:
        """Name an origin to another one, but not to a holder of another token."""
        other = self._identities[session]
        return f"origin {other.name!r}" if other.token_id == identity.token_id else "another origin"
