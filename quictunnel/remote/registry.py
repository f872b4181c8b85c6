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


@dataclass(frozen=True, slots=True)
class Claim(Generic[SessionT]):
    """What a session has got of what it claimed."""

    taken: dict[str, str]
    """The routes that it has not got, and which origin serves each."""

    losers: tuple[SessionT, ...]
    """The sessions that have lost a route by it."""


class Registry(Generic[SessionT]):
    """The routes, by their keys, and the sessions that serve them.

    :param on_usable: called with a route when new clients can be forwarded over it again.
    :param on_free: called with a route that no session serves any more.
    """

    def __init__(self, on_usable: Callable[[str], None], on_free: Callable[[str], None]) -> None:
        self._on_usable = on_usable
        self._on_free = on_free
        self._by_route: dict[str, SessionT] = {}
        self._by_identity: dict[Identity, SessionT] = {}
        self._identities: dict[SessionT, Identity] = {}
        self._superseded = SupersededInstances()

    def find(self, route: str) -> SessionT | None:
        """Return the session that a new client of this route can be forwarded to now, if any."""
        session = self._by_route.get(route)
        return session if session is not None and session.is_usable else None

    def is_served(self, route: str) -> bool:
        """Return whether a session serves this route, even if its link is silent."""
        return route in self._by_route

    def routes_of(self, session: SessionT) -> tuple[str, ...]:
        """Return the routes that a session serves."""
        return tuple(route for route, other in self._by_route.items() if other is session)

    def claim(
        self, session: SessionT, identity: Identity, routes: Collection[str], *, instance: str
    ) -> Claim[SessionT]:
        """Replace a session's routes by these, as far as no other origin serves them.

        An earlier session of the same origin loses all of its routes. Another origin loses a route
        only while its link is silent: the link may be dead, and clients are waiting.

        :param instance: the origin's process. An instance that a later one has superseded cannot
            take its place back, unless the later one's link is silent.
        :raises Refused: TAKEN_OVER, or SERVICE_TAKEN if the session would get none of several
            routes; then nothing has changed.
        """
        losers: dict[SessionT, None] = {}
        predecessor = self._by_identity.get(identity, session)
        if predecessor is not session:
            if predecessor.is_usable and self._superseded.is_superseded(identity, instance):
                raise Refused(
                    Code.TAKEN_OVER,
                    "another origin with the same token and name has taken over; give each its own "
                    "--name and port",
                )
            losers[predecessor] = None
        taken: dict[str, str] = {}
        for route in routes:
            other = self._by_route.get(route, session)
            if other is session or other is predecessor:
                continue
            if other.is_usable:
                taken[route] = self._describe(other, identity)
            else:
                losers[other] = None
        if routes and len(taken) == len(routes):
            raise Refused(Code.SERVICE_TAKEN, describe_taken(next(iter(taken.values()))))
        served = {*self.routes_of(session), *self.routes_of(predecessor)}
        if predecessor is not session:
            self._remove(predecessor)
        for route in self.routes_of(session):
            del self._by_route[route]
        self._by_identity[identity] = session
        self._identities[session] = identity
        self._by_route.update((route, session) for route in routes if route not in taken)
        self._superseded.record(identity, instance)
        self._report_free(served)
        return Claim(taken, tuple(losers))

    def release(self, session: SessionT) -> None:
        """Remove a session; without effect if it serves nothing."""
        served = self.routes_of(session)
        self._remove(session)
        self._report_free(served)

    def notify_usable(self, session: SessionT) -> None:
        """Report all routes of a session that has connected or recovered as usable."""
        for route in self.routes_of(session):
            self._on_usable(route)

    def _remove(self, session: SessionT) -> None:
        identity = self._identities.pop(session, None)
        if identity is not None and self._by_identity.get(identity) is session:
            del self._by_identity[identity]
        for route in self.routes_of(session):
            del self._by_route[route]

    def _report_free(self, served: Collection[str]) -> None:
        for route in served:
            if route not in self._by_route:
                self._on_free(route)

    def _describe(self, session: SessionT, identity: Identity) -> str:
        """Name an origin to another one, but not to a holder of another token."""
        other = self._identities[session]
        return f"origin {other.name!r}" if other.token_id == identity.token_id else "another origin"


def describe_taken(origin: str) -> str:
    """Return the sentence for an origin whose service another one serves."""
    return (
        f"{origin} already serves this place here; a place has one origin at a time, so stop that "
        "one, or ask for another port"
    )
