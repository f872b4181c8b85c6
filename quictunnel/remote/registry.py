"""Which origin serves which service. Decides at once, with no I/O, so no decision can be overtaken.

It knows services and sessions by what `Holder` says; what they are made of is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from quictunnel.remote.superseded import SupersededInstances


@dataclass(frozen=True, slots=True)
class Identity:
    """Which origin a session is of: a second link of the same one takes over."""

    token_id: str
    name: str


class Holder(Protocol):
    """A session, as far as the registry looks."""

    @property
    def is_usable(self) -> bool:
        """Whether a new client may be brought over its link now."""


HolderT = TypeVar("HolderT", bound=Holder)


class Registry(Generic[HolderT]):
    """Services and who holds them.

    :param on_usable: called with a service that new clients can be brought to from now on.
    """

    def __init__(self, on_usable: Callable[[str], None]) -> None:
        self._on_usable = on_usable
        self._by_service: dict[str, HolderT] = {}
        self._by_identity: dict[Identity, HolderT] = {}
        self._identities: dict[HolderT, Identity] = {}
        self._succession = SupersededInstances()

    def find(self, service: str) -> HolderT | None:
        """Return the session that a new client of this service can be brought to now, if any."""
        holder = self._by_service.get(service)
        return holder if holder is not None and holder.is_usable else None

    def services_of(self, holder: HolderT) -> tuple[str, ...]:
        """Return the services that a session holds."""
        return tuple(name for name, other in self._by_service.items() if other is holder)

    def claim(
        self, holder: HolderT, identity: Identity, services: Collection[str], *, run: str = ""
    ) -> tuple[HolderT, ...]:
        """Give a session these services and no others; return those that lost one by it.

        The session that the same origin had before loses all. Of another origin a service is
        only taken when its link is silent; then it may be dead, and clients have waited enough.

        :param run: names the run of the origin; one that has lost its place to a later run does not
            take it back from that one, unless its link is silent.
        :raises Refused: SERVICE_TAKEN or TAKEN_OVER; then nothing has changed.
        """
        losers: dict[HolderT, None] = {}
        predecessor = self._by_identity.get(identity)
        if predecessor is not None and predecessor is not holder:
            if predecessor.is_usable and self._succession.is_past(identity, run):
                raise Refused(
                    Code.TAKEN_OVER,
                    "another origin with the same token and name has taken this one's place; "
                    "a remote serves one at a time, so run a remote for each",
                )
            losers[predecessor] = None
        for name in services:
            other = self._by_service.get(name)
            if other is None or other is holder or other is predecessor:
                continue
            if other.is_usable:
                raise Refused(
                    Code.SERVICE_TAKEN,
                    f"{self._other(other, identity)} serves {name!r} here already; a remote serves "
                    "one at a time, so stop that one, or run a remote for each",
                )
            losers[other] = None
        if predecessor is not None and predecessor is not holder:
            self.release(predecessor)
        for name in self.services_of(holder):
            del self._by_service[name]
        self._by_identity[identity] = holder
        self._identities[holder] = identity
        self._by_service.update(dict.fromkeys(services, holder))
        self._succession.came(identity, run)
        return tuple(losers)

    def release(self, holder: HolderT) -> None:
        """Forget a session; without effect when it holds nothing."""
        identity = self._identities.pop(holder, None)
        if identity is not None and self._by_identity.get(identity) is holder:
            del self._by_identity[identity]
        for name in self.services_of(holder):
            del self._by_service[name]

    def _other(self, holder: HolderT, identity: Identity) -> str:
        """Say which origin that is, to one with another token not even by name."""
        other = self._identities[holder]
        return f"origin {other.name!r}" if other.token_id == identity.token_id else "another origin"

    def announce(self, holder: HolderT) -> None:
        """Let waiting clients go to a session that has come, or come back."""
        for name in self.services_of(holder):
            self._on_usable(name)
