"""The current clients of one link: counted, reported when they leave, aborted together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from quictunnel.events import ClientAccepted, ClientClosed, ClientMoved, EventSink
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.relay.relay import Ending, Relay, RelayEnd

MAX_CLIENTS = 960
"""The default limit on a role's clients. They and all else fit into 1024 open files, which most
systems allow a process."""

TcpSide = Literal["client", "origin server"]
"""The other end of a relay's TCP connection: a client at the remote, an origin server otherwise."""


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

    origin: str | None = None
    """The origin that serves the client, or was the last to do so. Set by the remote, for services
    that several origins may serve."""

    token: str | None = None
    """The token of the origin that was given what the client has sent. Set by the remote."""

    text: str | None = field(init=False)
    """The client's address as text, made once for all events."""

    def __post_init__(self) -> None:
        """Make the text."""
        self.text = None if self.address is None else str(self.address)

    def accepted(self) -> ClientAccepted:
        """Return the event that reports the client's arrival."""
        return ClientAccepted(self.text, self.service, self.id)

    def closed(self, *, up: int, down: int, duration: float, reason: str) -> ClientClosed:
        """Return the event that reports the client's end.

        :param up: bytes from the client to the origin server.
        :param down: bytes from the origin server to the client.
        :param duration: seconds since the client was accepted.
        """
        return ClientClosed(
            self.text, self.service, self.id, up, down, duration, reason, self.origin
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
        self._relays: set[Relay] = set()

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self._relays)

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
            self._relays.discard(relay)
            if end.ending is not Ending.DETACHED:
                up, down = end.bytes_from_tcp, end.bytes_to_tcp
                if self._tcp_side == "origin server":
                    up, down = down, up  # the same two numbers in the events of both ends
                closed = client.closed(up=up, down=down, duration=end.duration, reason=end.reason)
                self._emit(closed)
            if on_end is not None:
                on_end(end)
            if self.on_left is not None:
                self.on_left()

        relay = make_relay(ended)
        self._relays.add(relay)
        return relay

    def abort(self, code: Code) -> None:
        """Reset all streams, with the code, and all TCP connections."""
        for relay in tuple(self._relays):
            relay.abort(code)
