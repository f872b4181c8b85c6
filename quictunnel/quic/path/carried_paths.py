"""The accepting end's open paths other than UDP: their numbers, their peers, and their datagrams.

An engine sees a path as an address of `carried_addresses`. Everyone else sees the peer's real one.
"""

from __future__ import annotations

import asyncio
import itertools
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from quictunnel.protocol.address import Address
from quictunnel.quic.limits import UNPROVEN_PATH_DATAGRAMS
from quictunnel.quic.path.carried_addresses import address_of, is_carried
from quictunnel.quic.path.datagram_path import PathKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quictunnel.quic.engine import Datagram, Engine
    from quictunnel.quic.path.datagram_path import DatagramPath

UNUSED_CHECK_INTERVAL = 10.0
"""Seconds between two checks whether a path that has carried a proven link still carries one."""


class PeerPath(NamedTuple):
    """How a peer is reached."""

    address: Address
    """The peer's real address."""
    kind: PathKind = PathKind.UDP
    """The kind of path that carries the datagrams."""


class CarriedLink(Protocol):
    """A proven link, as its path sees it."""

    engine: Engine

    @property
    def is_closed(self) -> bool:
        """Whether the link has ended."""


class CarriedPath:
    """One open path. Implements `quictunnel.quic.path.datagram_path.PathHandler`.

    :param number: identifies the path to the engine.
    :param peer: the peer's real address.
    :param received: takes this path and the datagrams that it has carried here.
    :param exceeded: called with this path when it carries more than `UNPROVEN_PATH_DATAGRAMS`
        without a proven link.
    :param on_proven: called once, when the path carries a proven link.
    :param on_closed: called once, when the path has ended, with a sentence.
    :param forget: removes the path, which has ended.
    """

    def __init__(
        self,
        path: DatagramPath,
        number: int,
        peer: Address,
        *,
        received: Callable[[CarriedPath, list[Datagram]], None],
        exceeded: Callable[[CarriedPath], None],
        on_proven: Callable[[], None],
        on_closed: Callable[[str], None],
        forget: Callable[[CarriedPath], None],
    ) -> None:
        self.engine_address = address_of(number)
        """The address that engines see."""
        self.peer = PeerPath(peer, path.kind)
        """How the peer is reached."""
        self._path = path
        self._engine_path = (*self.engine_address, b"")
        self._received = received
        self._exceeded = exceeded
        self._on_proven = on_proven
        self._on_closed = on_closed
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._links: set[CarriedLink] = set()
        self._is_closed = False
        self._is_proven = False
        self._unproven_left = UNPROVEN_PATH_DATAGRAMS
        self._was_unused = False
        self._check: asyncio.TimerHandle | None = None
        path.handler = self

    # PathHandler

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Pass datagrams on as the engine takes them. Those that are too large are dropped."""
        if not self._is_proven:
            if not self._unproven_left:
                self._exceeded(self)
                return
            datagrams = datagrams[: self._unproven_left]
            self._unproven_left -= len(datagrams)
        mtu = self._path.mtu
        batch = [(data, self._engine_path) for data in datagrams if len(data) <= mtu]
        if batch:
            self._received(self, batch)

    def path_closed(self, reason: str) -> None:
        """Forget the path. Datagrams to it are dropped from now on."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self._forget(self)
        self._on_closed(reason)

    # For the listener

    def send(self, datagrams: Sequence[bytes]) -> None:
        """Send datagrams to the peer."""
        self._path.send(datagrams)

    def carries(self, link: CarriedLink) -> None:
        """Notice that this path carries a proven link now."""
        if self._is_closed:
            return  # while it handled the datagram
        self._links.add(link)
        if not self._is_proven:
            self._is_proven = True
            self._check = self._loop.call_later(UNUSED_CHECK_INTERVAL, self._check_use)
            self._on_proven()

    def close(self, reason: str) -> None:
        """Close the path. Do nothing if it has ended.

        :param reason: a sentence for `on_closed`.
        """
        self._path.close()
        self.path_closed(reason)

    def _check_use(self) -> None:
        """Close a path that every link has left.

        Otherwise a peer with one link could hold any number of paths. The path stays open for one
        more interval, because a link whose next path does not work comes back.
        """
        self._check = None
        self._links = {
            link
            for link in self._links
            if not link.is_closed and link.engine.peer == self.engine_address
        }
        if not self._links and self._was_unused:
            self.close("no link uses the path any more")
            return
        self._was_unused = not self._links
        self._check = self._loop.call_later(UNUSED_CHECK_INTERVAL, self._check_use)


class CarriedPaths:
    """The open paths of one listener.

    :param received: takes a path, and its datagrams as the engine takes them.
    :param exceeded: called with a path that carries more than `UNPROVEN_PATH_DATAGRAMS` without a
        proven link.
    """

    def __init__(
        self,
        received: Callable[[CarriedPath, list[Datagram]], None],
        exceeded: Callable[[CarriedPath], None],
    ) -> None:
        self._received = received
        self._exceeded = exceeded
        self._paths: dict[tuple[str, int], CarriedPath] = {}
        self._numbers = itertools.count(1)  # never used twice: a late datagram finds no other peer

    def __len__(self) -> int:
        return len(self._paths)

    def attach(
        self,
        path: DatagramPath,
        peer: Address,
        *,
        on_proven: Callable[[], None],
        on_closed: Callable[[str], None],
    ) -> CarriedPath:
        """Take an open path over, and become its handler."""
        carried = CarriedPath(
            path,
            next(self._numbers),
            peer,
            received=self._received,
            exceeded=self._exceeded,
            on_proven=on_proven,
            on_closed=on_closed,
            forget=self._forget,
        )
        self._paths[carried.engine_address] = carried
        return carried

    def find(self, engine_address: tuple[str, int] | None) -> CarriedPath | None:
        """Return the open path with the address that an engine sees; None if there is none."""
        return None if engine_address is None else self._paths.get(engine_address)

    def locate(self, engine_address: tuple[str, int]) -> PeerPath | None:
        """Return how a peer is reached, by the address that an engine sees.

        None means that the path has ended, and that its peer is not known any more.
        """
        if not is_carried(engine_address[0]):
            return PeerPath(Address.of(engine_address))
        carried = self._paths.get(engine_address)
        return None if carried is None else carried.peer

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Send each datagram on its path, in order. Those of ended paths are dropped."""
        for engine_path, group in itertools.groupby(datagrams, key=itemgetter(1)):
            if (carried := self._paths.get(engine_path[:2])) is not None:
                carried.send([data for data, _ in group])

    def close(self, reason: str) -> None:
        """Close all paths."""
        for carried in tuple(self._paths.values()):
            carried.close(reason)

    def _forget(self, carried: CarriedPath) -> None:
        self._paths.pop(carried.engine_address, None)
