"""Bounds the clients of shared listeners that have not named their host yet.

They have no route, so no policy limits them. Without a bound, one address could take all room for
clients, at all places.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from quictunnel.protocol.source import Source

MAX_UNNAMED_PER_SOURCE = 64
"""Clients of one source that have not named their host. Clients send the name at once, so only many
people behind one address come close: each browser has a few connections in advance."""

C = TypeVar("C")


class UnnamedClients(Generic[C]):
    """Clients without a name, in order of arrival.

    A client is in it until its name has a route, or its connection has ended.
    """

    def __init__(self) -> None:
        self._sources: dict[C, Source | None] = {}
        self._by_source: dict[Source, dict[C, None]] = {}

    @property
    def oldest(self) -> C | None:
        """The client that arrived first; None if there is no client."""
        return next(iter(self._sources), None)

    def add(self, client: C) -> None:
        """Add a client whose source is not known yet."""
        self._sources[client] = None

    def count(self, client: C, source: Source) -> C | None:
        """Count an added client for its source.

        :returns: the source's oldest client if the source now has too many, to be rejected.
        """
        self._sources[client] = source
        clients = self._by_source.setdefault(source, {})
        clients[client] = None
        return next(iter(clients)) if len(clients) > MAX_UNNAMED_PER_SOURCE else None

    def discard(self, client: C) -> None:
        """Remove a client, if it is there."""
        source = self._sources.pop(client, None)
        if source is not None:
            clients = self._by_source[source]
            del clients[client]
            if not clients:
                del self._by_source[source]
