"""The current clients of one link: counted, reported when they leave, aborted together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from quictunnel.events import ClientAccepted, ClientClosed, ClientMoved, EventSink
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.relay.relay import Ending, Relay, RelayEnd
from quictunnel.session.endings import client_ending
from quictunnel.session.rejection import Rejection

MAX_CLIENTS = 960
"""The default limit on a role's clients. They and all else fit into 1024 open files, which most
systems allow a process."""

TcpSide = Literal["client", "origin server"]
"""The other end of a relay's TCP connection: a client at the remote, an origin server otherwise."""


_local_ids = itertools.count(1)
"""Source of the keys of clients that have no id."""


@dataclass(slots=True)
class Client:
    """A client's identity, the same in the events of both ends."""

    id: str | None
    """The remote's id for this connection."""

    address: Address | None
    """The client's address; None if unknown: a proxy's own health check, or a Unix socket."""

    outside: Address | None
    """The outside address that the client connected to."""

    service: str
    """The service at that address."""

    accepted_at: float
    """When it was accepted, in seconds of the loop's clock."""

    origin: str | None = None
    """The origin that serves the client, or was the last to do so. Set by the remote."""

    token: str | None = None
    """The token of the origin that was given what the client has sent. Set by the remote."""

    text: str | None = field(init=False)
    """The client's address as text, made once for all events."""

    key: str = field(init=False)
    """Identifies the client at this role: its id, or a local one if it has none."""

    def __post_init__(self) -> None:
        """Make the text and the key."""
        self.text = None if self.address is None else str(self.address)
        self.key = self.id or f"local-{next(_local_ids)}"

    def accepted(self) -> ClientAccepted:
        """Return the event that reports the client's arrival."""
        return ClientAccepted(self.text, self.service, self.id)

    def closed(
        self,
        end: Rejection,
        *,
        up: int,
        down: int,
        now: float,
        first_at: float | None = None,
        connected_at: float | None = None,
    ) -> ClientClosed:
        """Return the event that reports the client's end.

        The times are seconds of the loop's clock.

        :param end: how it has ended.
        :param up: bytes from the client to the origin server.
        :param down: bytes from the origin server to the client.
        :param first_at: when the first of the latter has arrived.
        :param connected_at: at the origin, when the origin server was connected.
        """
        since = self.accepted_at
        return ClientClosed(
            self.text,
            self.service,
            self.id,
            up,
            down,
            now - since,
            end.reason,
            end.kind,
            self.origin,
            None if first_at is None else first_at - since,
            None if connected_at is None else connected_at - since,
        )

    def moved(self) -> ClientMoved:
        """Return the event that reports that the origin has not answered."""
        return ClientMoved(self.text, self.service, self.id, self.origin)


class Clients:
    """The current clients of one link."""

    def __init__(self, tcp_side: TcpSide, emit: EventSink) -> None:
        self.on_left: Callable[[], None] | None = None
        """Called after a client has left, while it is set."""
        self._tcp_side = tcp_side
        self._emit = emit
        self._clients: dict[Relay, Client] = {}

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self._clients)

    def __iter__(self) -> Iterator[tuple[Client, Relay]]:
        """Iterate over the clients and their relays, in the order of their arrival."""
        return ((client, relay) for relay, client in self._clients.items())

    def current(self) -> tuple[tuple[Relay, Client], ...]:
        """Return the relays and their clients. To copy 10,000 of them takes a millisecond."""
        return tuple(self._clients.items())

    @property
    def unread(self) -> int:
        """Bytes in full write buffers of TCP connections. Few of many clients have one."""
        return sum(relay.unread for relay in self._clients if relay.tcp.write_paused)

    def add(
        self,
        client: Client,
        make_relay: Callable[[Callable[[RelayEnd], None]], Relay],
        *,
        on_end: Callable[[RelayEnd], None] | None = None,
    ) -> Relay:
        """Add a client and return its relay.

        :param make_relay: makes the relay, given its `on_end` callback.
        :param on_end: called with the relay's result once the client has left, or was detached.
        """

        def ended(end: RelayEnd) -> None:
            self._clients.pop(relay, None)
            if end.ending is not Ending.DETACHED:
                self._emit(self._closed(client, relay, end))
            if on_end is not None:
                on_end(end)
            if self.on_left is not None:
                self.on_left()

        relay = make_relay(ended)
        self._clients[relay] = client
        return relay

    def abort(self, code: Code) -> None:
        """Reset all streams, with the code, and all TCP connections."""
        for relay in tuple(self._clients):
            relay.abort(code)

    def _closed(self, client: Client, relay: Relay, end: RelayEnd) -> ClientClosed:
        """Return the event for a client that has left, with the same numbers at both ends."""
        ending = Rejection(client_ending(end.ending, end.code), end.reason)
        now = relay.loop.time()
        if self._tcp_side == "client":
            return client.closed(
                ending,
                up=end.bytes_from_tcp,
                down=end.bytes_to_tcp,
                now=now,
                first_at=relay.stream.first_at,
            )
        return client.closed(
            ending,
            up=end.bytes_to_tcp,
            down=end.bytes_from_tcp,
            now=now,
            first_at=relay.tcp.first_at,
            connected_at=relay.tcp.connected_at,
        )
