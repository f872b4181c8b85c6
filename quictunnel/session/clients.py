"""The clients that are present on one link: counted, logged when they leave, cut.

It joins nothing and moves no bytes: that is what each client's relay does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, NamedTuple

from quictunnel.observe.logging_setup import fact
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.relay import Relay, RelayEnd


class Client(NamedTuple):
    """Who a client is, as both ends log it."""

    id: str | None
    """The remote's name for this connection, the same in the logs of both ends."""

    address: Address | None
    """Where it comes from; None where nobody knows (a proxy's own check, a Unix socket)."""

    outside: Address | None
    """The outside address that it came to."""

    service: str
    """The service that it asked for by coming to that address."""


class Clients:
    """The present clients of one link.

    :param tcp_side: whom a relay's TCP connection leads to at this end of the link.
    :param on_change: called after a client has left.
    """

    def __init__(
        self,
        logger: logging.Logger,
        tcp_side: Literal["client", "origin server"],
        on_change: Callable[[], None],
    ) -> None:
        self._logger = logger
        self._tcp_side = tcp_side
        self._on_change = on_change
        self._relays: set[Relay] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._relays)

    def add(
        self,
        client: Client,
        make_relay: Callable[[Callable[[RelayEnd], None]], Relay],
        *,
        on_end: Callable[[], None] | None = None,
    ) -> Relay:
        """Count a client in and return its relay.

        :param make_relay: makes the relay, given what it calls at its end.
        :param on_end: called once the client has left, before `on_change`.
        """

        def ended(end: RelayEnd) -> None:
            self._relays.discard(relay)
            self._log_out(client, end)
            if on_end is not None:
                on_end()
            self._on_change()

        relay = make_relay(ended)
        self._relays.add(relay)
        return relay

    def cut(self, code: Code) -> None:
        """End all of them at once: streams are reset with the code, TCP connections too."""
        for relay in tuple(self._relays):
            relay.abort(code)

    def _log_out(self, client: Client, end: RelayEnd) -> None:
        # The same two numbers at both ends, so that their logs can be laid side by side.
        up, down = end.bytes_from_tcp, end.bytes_to_tcp
        if self._tcp_side == "origin server":
            up, down = down, up
        log_client_out(
            self._logger, client, up=up, down=down, duration=end.duration, ending=end.reason
        )


def log_client_in(logger: logging.Logger, client: Client) -> None:
    """Log that a client has come."""
    fact(
        logger,
        logging.INFO,
        "client in",
        client=client.address,
        service=client.service,
        id=client.id,
    )


def log_client_out(
    logger: logging.Logger, client: Client, *, up: int, down: int, duration: float, ending: object
) -> None:
    """Log that a client has left.

    :param up: bytes from the client towards the origin server.
    :param down: bytes the other way.
    :param duration: seconds from its coming.
    :param ending: how it ended, in words.
    """
    fact(
        logger,
        logging.INFO,
        "client out",
        client=client.address,
        service=client.service,
        id=client.id,
        up=up,
        down=down,
        duration=duration,
        ending=ending,
    )
