"""The peer's addresses of both families, and sockets connected to them.

The peer's name is resolved again while the link lives: another network may have another address
family, and the peer another address.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from quictunnel.quic.path import udp

if TYPE_CHECKING:
    import socket

Resolve: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a name, best first. Raises OSError if it cannot."""

LOOKUP_INTERVAL = 2.0
"""Shortest time in seconds between lookups. The resolver of a network that is gone may hang while
that of the next network answers at once."""

LOOKUP_TIMEOUT = 30.0
"""Seconds for a lookup. Resolvers may try several name servers in turn, the first of which may
belong to the previous network. Other lookups run meanwhile."""

HOSTS_MAX = 16
"""Addresses kept. Trying more would take too long."""

CONFIRMED_MAX = 4
"""Of those, addresses that have answered although the name may no longer resolve to them, for links
that move back and forth between two networks."""


class Candidate(NamedTuple):
    """A socket connected to one of the peer's addresses."""

    host: str
    """The peer's IP address."""
    sock: socket.socket
    """The UDP socket."""


class Candidates:
    """The addresses of one peer.

    :param host: the address that was dialed; None if something other than UDP carries the link.
    :param hosts: all known addresses, best first.
    :param resolve: looks them up; None for a peer without a name.
    """

    def __init__(
        self,
        host: str | None,
        port: int,
        *,
        hosts: Sequence[str],
        resolve: Resolve | None,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[str, int], socket.socket] = udp.open_connected,
    ) -> None:
        self.host = host
        """The address in use; None if none of them was used yet."""
        self.on_change: Callable[[], None] | None = None
        """Called when a lookup returns other addresses."""
        self._port = port
        self._confirmed: list[str] = [] if host is None else [host]
        self._hosts = self._merge(hosts)
        self._resolve = resolve
        self._loop = loop
        self._connect = connect
        self._lookups: list[asyncio.Task[None]] = []  # oldest first
        self._looked_up_at: float | None = None

    @property
    def has_hosts(self) -> bool:
        """Whether any address is known."""
        return bool(self._hosts)

    def open(self, *, next_host: bool) -> Candidate | None:
        """Return a connected socket, or None if no address has a route.

        :param next_host: start with the address after the current one, which is tried last.
        """
        start = 0 if self.host is None else self._hosts.index(self.host) + next_host
        for host in self._hosts[start:] + self._hosts[:start]:
            with contextlib.suppress(OSError):  # no route, or the family is missing
                return Candidate(host, self._connect(host, self._port))
        return None

    def confirm(self) -> None:
        """Record that the peer has answered at the current address."""
        if self.host is not None:
            self._confirmed = [self.host, *(host for host in self._confirmed if host != self.host)]
            del self._confirmed[CONFIRMED_MAX:]

    def refresh(self) -> None:
        """Start another lookup. Known addresses stay valid until it succeeds."""
        now = self._loop.time()
        if self._resolve is None or (
            self._looked_up_at is not None and now < self._looked_up_at + LOOKUP_INTERVAL
        ):
            return
        self._looked_up_at = now
        lookup = self._loop.create_task(self._look_up(self._resolve), name="lookup of the remote")
        self._lookups.append(lookup)
        lookup.add_done_callback(self._lookups.remove)

    def close(self) -> None:
        """Cancel all lookups."""
        for lookup in self._lookups:
            lookup.cancel()

    async def _look_up(self, resolve: Resolve) -> None:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                hosts = await resolve()
        except OSError:  # includes TimeoutError; the next refresh tries again
            return
        for lookup in self._lookups:
            if lookup is asyncio.current_task():
                break
            lookup.cancel()  # an older lookup asked an older network
        hosts = self._merge(hosts)
        if hosts != self._hosts:
            self._hosts = hosts
            if self.on_change is not None:
                self.on_change()

    def _merge(self, hosts: Sequence[str]) -> list[str]:
        """Return the hosts, the current one and the confirmed ones, without duplicates."""
        resolved = hosts[: HOSTS_MAX - CONFIRMED_MAX - 1]
        current = [] if self.host is None else [self.host]
        return list(dict.fromkeys([*resolved, *current, *self._confirmed]))
