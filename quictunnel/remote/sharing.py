"""How origins share a route, and which of them gets a new client.

With `failover`, the first usable origin serves, in the order in which they have joined. With
`balance`, it is the usable origin with the fewest clients of the route. If that is `sticky`, the
client's address selects the origin by rendezvous hashing: when an origin ends, only its own clients
move, and when it returns, only these move back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from quictunnel.errors import Refused
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.protocol.source import Source, source_of

FAILOVER, BALANCE = "failover", "balance"
"""The words for ways of sharing, in configuration files and on the wire."""

_DIGEST_SIZE = 8


@dataclass(frozen=True, slots=True)
class Sharing:
    """How an origin wants to share a route."""

    way: str | None = None
    """`FAILOVER` or `BALANCE`; None if the origin is to be the only one."""

    is_sticky: bool = False
    """With `BALANCE`: whether a client's address selects the origin."""


ALONE = Sharing()
"""Not sharing."""


def sharing_of(service: Service) -> Sharing:
    """Return how an origin wants to share the route of a service.

    :raises Refused: the word is unknown, or a free port cannot be shared.
    """
    if service.share is None:
        return ALONE
    if service.share not in (FAILOVER, BALANCE):
        raise Refused(
            Code.NOT_ALLOWED,
            f"the remote does not know the share {service.share!r}; it knows {FAILOVER!r} and "
            f"{BALANCE!r}",
        )
    if service.port == 0:
        raise Refused(Code.NOT_ALLOWED, "a free port cannot be shared; name the port")
    return Sharing(service.share, service.sticky and service.share == BALANCE)


class Sharer(Protocol):
    """A session, as a shared route sees it."""

    @property
    def is_usable(self) -> bool:
        """Whether a new client can be forwarded over its link now."""

    def clients_at(self, route: str) -> int:
        """Return the number of clients of a route that it serves now."""


SharerT = TypeVar("SharerT", bound=Sharer)


class SharedRoute(Generic[SharerT]):
    """The sessions that serve one route: one, or several that share it.

    :param key: identifies the route.
    :param token_id: the token of all of them.
    """

    def __init__(self, key: str, token_id: str) -> None:
        self.sharing = ALONE
        """How they share it: as the one that has joined or changed last asked for it."""
        self._key = key
        self._token_id = token_id
        self._names: dict[SharerT, str] = {}
        """The names of the origins. With `BALANCE`, the one that was selected last is the last."""

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self._names)

    def __iter__(self) -> Iterator[SharerT]:
        """Iterate over the sessions."""
        return iter(tuple(self._names))

    def admits(self, token_id: str, sharing: Sharing) -> bool:
        """Return whether another origin can join that wants to share the route in this way."""
        is_shared = sharing.way is not None and sharing.way == self.sharing.way
        return is_shared and token_id == self._token_id

    def add(self, session: SharerT, name: str, sharing: Sharing) -> None:
        """Add a session behind the others. One that is there keeps its place."""
        self.sharing = sharing
        self._names.setdefault(session, name)

    def discard(self, session: SharerT) -> None:
        """Remove a session, if it is there."""
        self._names.pop(session, None)

    def select(self, client: Address | None) -> SharerT | None:
        """Return the session that a new client can be forwarded to now, if any.

        :param client: the client's address, if it is known.
        """
        if self.sharing.way != BALANCE:
            for session in self._names:
                if session.is_usable:
                    return session
            return None
        usable = [session for session in self._names if session.is_usable]
        if len(usable) < 2:
            return usable[0] if usable else None
        if self.sharing.is_sticky and client is not None:
            source = source_of(client)
            return max(usable, key=lambda session: _weight(source, self._names[session]))
        selected = min(usable, key=lambda session: session.clients_at(self._key))
        # Among origins with equally many clients, take turns.
        self._names[selected] = self._names.pop(selected)
        return selected


def _weight(source: Source, name: str) -> bytes:
    """Return an origin's weight for a client. The heaviest origin serves it."""
    return hashlib.blake2b(f"{source!r} {name}".encode(), digest_size=_DIGEST_SIZE).digest()
