"""Decides which origin serves which service. It does no I/O, so decisions never interleave."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code


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
    """The result of a claim."""

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
        self._instances: dict[SessionT, str] = {}

    def find(self, route: str) -> SessionT | None:
        """Return the session that a new client of this route can be forwarded to now, if any."""
        session = self._by_route.get(route)
        return session if session is not None and session.is_usable else None

    def routes_of(self, session: SessionT) -> tuple[str, ...]:
        """Return the routes that a session serves."""
        return tuple(route for route, other in self._by_route.items() if other is session)

    def predecessor(self, identity: Identity) -> SessionT | None:
        """Return the session of this origin, if it has one."""
        return self._by_identity.get(identity)

    def rivals(
        self, identity: Identity, routes: Collection[str], *, instance: str
    ) -> tuple[SessionT, ...]:
        """Return the usable sessions that stand in the way of a claim: see `claim`."""
        rivals: dict[SessionT, None] = {}
        predecessor = self._by_identity.get(identity)
        if predecessor is not None and not self._is_of(predecessor, instance):
            rivals[predecessor] = None
        for route in routes:
            other = self._by_route.get(route)
            if other is not None and other is not predecessor:
                rivals[other] = None
        return tuple(session for session in rivals if session.is_usable)

    def check_place(
        self, session: SessionT, identity: Identity, *, instance: str, gone: Collection[SessionT]
    ) -> None:
        """Check that no other process of this origin is connected.

        :raises Refused: SERVICE_TAKEN, if one is.
        """
        other = self._by_identity.get(identity, session)
        is_there = other is not session and other.is_usable and other not in gone
        if is_there and not self._is_of(other, instance):
            raise Refused(Code.SERVICE_TAKEN, describe_connected(identity.name))

    def claim(
        self,
        session: SessionT,
        identity: Identity,
        routes: Collection[str],
        *,
        instance: str,
        gone: Collection[SessionT] = (),
        may_be_empty: bool = False,
    ) -> Claim[SessionT]:
        """Replace a session's routes by these, as far as no other origin serves them.

        An earlier session of the same origin loses all of its routes if it belongs to the same
        process, is silent or is gone. Another origin loses a route only if its session is silent or
        gone: its link may be dead, and clients are waiting.

        :param instance: identifies the origin's process; empty if unknown.
        :param gone: sessions to treat as if they were silent: they have not answered a ping.
        :param may_be_empty: whether the session may get none of the routes.
        :raises Refused: SERVICE_TAKEN, if another process of this origin is connected, or the
            session would get none of the routes but must. Then nothing has changed.
        """
        self.check_place(session, identity, instance=instance, gone=gone)
        losers: dict[SessionT, None] = {}
        predecessor = self._by_identity.get(identity, session)
        if predecessor is not session:
            losers[predecessor] = None
        taken: dict[str, str] = {}
        for route in routes:
            other = self._by_route.get(route, session)
            if other is session or other is predecessor:
                continue
            if other.is_usable and other not in gone:
                taken[route] = self._describe(other, identity)
            else:
                losers[other] = None
        if routes and len(taken) == len(routes) and not may_be_empty:
            raise Refused(Code.SERVICE_TAKEN, describe_taken(next(iter(taken.values()))))
        served = {*self.routes_of(session), *self.routes_of(predecessor)}
        if predecessor is not session:
            self._remove(predecessor)
        for route in self.routes_of(session):
            del self._by_route[route]
        self._by_identity[identity] = session
        self._identities[session] = identity
        self._instances[session] = instance
        self._by_route.update((route, session) for route in routes if route not in taken)
        self._report_free(served)
        return Claim(taken, tuple(losers))

    def release(self, session: SessionT) -> None:
        """Remove a session; without effect if it serves nothing."""
        served = self.routes_of(session)
        self._remove(session)
        self._report_free(served)

    def withdraw(self, route: str) -> SessionT | None:
        """Take a route from the session that serves it, if any, and return that session."""
        session = self._by_route.pop(route, None)
        self._report_free([route])
        return session

    def notify_usable(self, session: SessionT) -> None:
        """Report all routes of a session that has connected or recovered as usable."""
        for route in self.routes_of(session):
            self._on_usable(route)

    def _is_of(self, session: SessionT, instance: str) -> bool:
        """Return whether a session belongs to this process of its origin."""
        return instance != "" and self._instances.get(session) == instance

    def _remove(self, session: SessionT) -> None:
        self._instances.pop(session, None)
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


def describe_connected(name: str) -> str:
    """Return the sentence for an origin while another process of it is connected."""
    return (
        f"an origin {name!r} with this token is connected and answers; give each origin its own "
        "--name and port, or start this one with --take-over to replace that one"
    )


def describe_taken(origin: str) -> str:
    """Return the sentence for an origin whose service another one serves."""
    return (
        f"{origin} already serves it here; stop that one, or give this origin a port or a host "
        "name of its own"
    )
