"""Decides which origins serve which service. It does no I/O, so decisions never interleave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from quictunnel.errors import Refused
from quictunnel.escaping import cut_name
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.remote.sharing import ALONE, SharedRoute, Sharing


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

    def clients_at(self, route: str) -> int:
        """Return the number of clients of a route that it serves now."""


_NO_PLACES: Mapping[str, str] = MappingProxyType({})

SessionT = TypeVar("SessionT", bound=ServingSession)


@dataclass(frozen=True, slots=True)
class Claim(Generic[SessionT]):
    """The result of a claim."""

    taken: dict[str, str]
    """The routes that it has not got, and a sentence for each."""

    losers: tuple[SessionT, ...]
    """The sessions that have lost a route by it."""


class Registry(Generic[SessionT]):
    """The routes, by their keys, and the sessions that serve them.

    Several origins serve a route if they have the same token and want to share it in the same way.

    :param on_usable: called with a route when new clients can be forwarded over it again.
    :param on_free: called with a route that no session serves any more.
    """

    def __init__(self, on_usable: Callable[[str], None], on_free: Callable[[str], None]) -> None:
        self._on_usable = on_usable
        self._on_free = on_free
        self._by_route: dict[str, SharedRoute[SessionT]] = {}
        self._routes: dict[SessionT, dict[str, None]] = {}
        self._by_identity: dict[Identity, SessionT] = {}
        self._identities: dict[SessionT, Identity] = {}
        self._instances: dict[SessionT, str] = {}

    def find(self, route: str, client: Address | None = None) -> SessionT | None:
        """Return the session that a new client of this route can be forwarded to now, if any.

        :param client: the client's address, if it is known.
        """
        shared = self._by_route.get(route)
        return None if shared is None else shared.select(client)

    def routes_of(self, session: SessionT) -> tuple[str, ...]:
        """Return the routes that a session serves."""
        return tuple(self._routes.get(session, ()))

    def sessions_at(self, route: str) -> tuple[SessionT, ...]:
        """Return the sessions that serve a route, also those that are silent."""
        return tuple(self._by_route.get(route, ()))

    def origins_at(self, route: str) -> set[Identity]:
        """Return the origins that serve a route, also those that are silent."""
        return {self._identities[session] for session in self.sessions_at(route)}

    def predecessor(self, identity: Identity) -> SessionT | None:
        """Return the session of this origin, if it has one."""
        return self._by_identity.get(identity)

    def rivals(
        self, identity: Identity, routes: Mapping[str, Sharing], *, instance: str
    ) -> tuple[SessionT, ...]:
        """Return the usable sessions that stand in the way of a claim: see `claim`."""
        rivals: dict[SessionT, None] = {}
        predecessor = self._by_identity.get(identity)
        if predecessor is not None and not self._is_of(predecessor, instance):
            rivals[predecessor] = None
        for route, sharing in routes.items():
            shared = self._by_route.get(route)
            if shared is not None and not shared.admits(identity.token_id, sharing):
                rivals.update((other, None) for other in shared if other is not predecessor)
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
        routes: Mapping[str, Sharing],
        *,
        instance: str,
        gone: Collection[SessionT] = (),
        may_be_empty: bool = False,
        places: Mapping[str, str] = _NO_PLACES,
    ) -> Claim[SessionT]:
        """Replace a session's routes by these, as far as other origins do not stand in the way.

        An earlier session of the same origin loses all of its routes if it belongs to the same
        process, is silent or is gone. Another origin does not stand in the way if both share the
        route. Otherwise it loses the route only if its session is silent or gone: its link may be
        dead, and clients are waiting.

        :param routes: how the origin wants to share each route.
        :param instance: identifies the origin's process; empty if unknown.
        :param gone: sessions to treat as if they were silent: they have not answered a ping.
        :param may_be_empty: whether the session may get none of the routes.
        :param places: the routes' places in words, for messages.
        :raises Refused: SERVICE_TAKEN, if another process of this origin is connected, or the
            session would get none of the routes but must. Then nothing has changed.
        """
        self.check_place(session, identity, instance=instance, gone=gone)
        losers: dict[SessionT, None] = {}
        predecessor = self._by_identity.get(identity, session)
        if predecessor is not session:
            losers[predecessor] = None
        taken: dict[str, str] = {}
        replaced: list[tuple[str, SessionT]] = []
        for route, sharing in routes.items():
            shared = self._by_route.get(route)
            if shared is None or shared.admits(identity.token_id, sharing):
                continue
            others = [other for other in shared if other not in (session, predecessor)]
            holder = next((each for each in others if each.is_usable and each not in gone), None)
            if holder is None:
                replaced += [(route, other) for other in others]
            else:
                where = places.get(route, "this place")
                taken[route] = self._describe(where, holder, shared.sharing, identity, sharing)
        if routes and len(taken) == len(routes) and not may_be_empty:
            raise Refused(Code.SERVICE_TAKEN, next(iter(taken.values())))
        served = {*self.routes_of(session), *self.routes_of(predecessor)}
        if predecessor is not session:
            self._remove(predecessor)
        for route, other in replaced:
            losers[other] = None
            self._leave(other, route)
        granted = {route: sharing for route, sharing in routes.items() if route not in taken}
        for route in self.routes_of(session):
            if route not in granted:
                self._leave(session, route)
        self._by_identity[identity] = session
        self._identities[session] = identity
        self._instances[session] = instance
        for route, sharing in granted.items():
            self._join(session, identity, route, sharing)
        self._report_free(served)
        return Claim(taken, tuple(losers))

    def release(self, session: SessionT) -> None:
        """Remove a session; without effect if it serves nothing."""
        served = self.routes_of(session)
        self._remove(session)
        self._report_free(served)

    def withdraw(self, route: str) -> tuple[SessionT, ...]:
        """Take a route from the sessions that serve it, and return them."""
        sessions = self.sessions_at(route)
        for session in sessions:
            self._leave(session, route)
        self._report_free([route])
        return sessions

    def notify_usable(self, session: SessionT) -> None:
        """Report all routes of a session that has connected or recovered as usable."""
        for route in self.routes_of(session):
            self._on_usable(route)

    def _is_of(self, session: SessionT, instance: str) -> bool:
        """Return whether a session belongs to this process of its origin."""
        return instance != "" and self._instances.get(session) == instance

    def _join(self, session: SessionT, identity: Identity, route: str, sharing: Sharing) -> None:
        shared = self._by_route.get(route)
        if shared is None:
            shared = self._by_route[route] = SharedRoute(route, identity.token_id)
        shared.add(session, identity.name, sharing)
        self._routes.setdefault(session, {})[route] = None

    def _leave(self, session: SessionT, route: str) -> None:
        self._routes[session].pop(route)
        shared = self._by_route[route]
        shared.discard(session)
        if not shared:
            del self._by_route[route]

    def _remove(self, session: SessionT) -> None:
        for route in self.routes_of(session):
            self._leave(session, route)
        self._routes.pop(session, None)
        self._instances.pop(session, None)
        identity = self._identities.pop(session, None)
        if identity is not None and self._by_identity.get(identity) is session:
            del self._by_identity[identity]

    def _report_free(self, served: Collection[str]) -> None:
        for route in served:
            if route not in self._by_route:
                self._on_free(route)

    def _describe(
        self, where: str, holder: SessionT, there: Sharing, identity: Identity, asked: Sharing
    ) -> str:
        """Name the holder of a route to another origin, but not to one with another token."""
        other = self._identities[holder]
        if other.token_id != identity.token_id:
            return describe_taken(where, "another origin")
        return describe_taken(where, f"origin {cut_name(other.name)!r}", there, asked)


def describe_connected(name: str) -> str:
    """Return the sentence for an origin while another process of it is connected."""
    return (
        f"an origin {cut_name(name)!r} with this token is connected and answers; give each origin "
        "its own --name and port, or start this one with --take-over to replace that one"
    )


def describe_taken(where: str, origin: str, there: Sharing = ALONE, asked: Sharing = ALONE) -> str:
    """Return the sentence for an origin whose service another one serves.

    :param where: the place in words.
    :param there: how the other one shares it.
    :param asked: how this one wants to share it.
    """
    serves = f"{origin} already serves {where}"
    elsewhere = "choose another port or host name"
    if there.way is None and asked.way is None:
        return f"{serves}; stop that one, or {elsewhere}"
    if there.way is None:
        return f"{serves} alone; start that one with --share {asked.way} too, or {elsewhere}"
    serves += f" with share {there.way!r}"
    if asked.way is not None:
        serves += f", not {asked.way!r}"
    return f"{serves}; start this origin with --share {there.way}, or {elsewhere}"
