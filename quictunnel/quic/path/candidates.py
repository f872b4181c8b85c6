"""The addresses that a peer may be reached at, of both families, and sockets towards them.

Its name is asked for again while the link lives: another network may have another family, and a
peer another address. Which way is tried when is the mover's business.
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
"""Returns the literal addresses of a name, best first; raises OSError where it cannot."""

ASK_AGAIN = 2.0
"""Seconds between two questions for the name: the resolver of a network that has gone may hang, and
the one of the next network answers at once."""

LOOKUP_WITHIN = 30.0
"""Seconds that an answer may take: as long as resolvers wait for several name servers in turn, the
first of which may be that of the network before. Meanwhile others are under way."""

HOSTS_MAX = 16
"""Addresses kept: more would be tried in vain for too long."""

PROVEN_MAX = 4
"""Of those, addresses at which the peer has answered and which the name may no longer give: those
of two networks back and forth."""


class Way(NamedTuple):
    """A socket towards one of the addresses."""

    host: str
    sock: socket.socket


class Candidates:
    """The addresses of one peer.

    :param host: the one that was dialled.
    :param hosts: all that are known, best first.
    :param resolve: finds out about them; None for a peer that has no name.
    :param found: is called when there are others than before.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        hosts: Sequence[str],
        resolve: Resolve | None,
        found: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[str, int], socket.socket] = udp.open_connected,
    ) -> None:
        self.host = host
        """The one that is tried, or used, now."""
        self._port = port
        self._proven: list[str] = [host]
        self._hosts = self._merge(hosts)
        self._resolve = resolve
        self._found = found
        self._loop = loop
        self._connect = connect
        self._questions: list[asyncio.Task[None]] = []  # the latest last
        self._asked_at: float | None = None

    def open(self, *, another: bool) -> Way | None:
        """Return a way that has a route; None if there is none.

        :param another: begin with the address behind the present one, and take that one last.
        """
        start = self._hosts.index(self.host) + another
        for host in self._hosts[start:] + self._hosts[:start]:
            with contextlib.suppress(OSError):  # no route, or a family that is not there
                return Way(host, self._connect(host, self._port))
        return None

    def proven(self) -> None:
        """Note that the peer has answered at the present address."""
        self._proven = [self.host, *(host for host in self._proven if host != self.host)]
        del self._proven[PROVEN_MAX:]

    def refresh(self) -> None:
        """Ask for the name once more, beside all else. The old answers hold until others come."""
        now = self._loop.time()
        if self._resolve is None or (
            self._asked_at is not None and now < self._asked_at + ASK_AGAIN
        ):
            return
        self._asked_at = now
        question = self._loop.create_task(self._ask(self._resolve), name="addresses")
        self._questions.append(question)
        question.add_done_callback(self._questions.remove)

    def close(self) -> None:
        """Wait for no answer any more."""
        for question in self._questions:
            question.cancel()

    async def _ask(self, resolve: Resolve) -> None:
        try:
            async with asyncio.timeout(LOOKUP_WITHIN):
                hosts = await resolve()
        except OSError:  # a timeout is one
            return  # no resolver can be reached now, say
        for question in self._questions:
            if question is asyncio.current_task():
                break
            question.cancel()  # who was asked before knows less
        hosts = self._merge(hosts)
        if hosts != self._hosts:
            self._hosts = hosts
            self._found()

    def _merge(self, hosts: Sequence[str]) -> list[str]:
        """Return these, with the present one and the proven ones among them."""
        merged = dict.fromkeys([*hosts[: HOSTS_MAX - PROVEN_MAX - 1], self.host, *self._proven])
        return list(merged)
