"""Decides when the peer has answered what was sent, from acknowledgements. Pure: no I/O.

Engines report when the peer last acknowledged something, not what. An acknowledgement that arrives
within half a round trip left the peer before what was sent could arrive there. It counts only if it
leaves nothing unacknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waiter(Protocol):
    """Waits for an answer."""

    def answered(self) -> None:
        """Handle the answer."""


class Acknowledgements(Protocol):
    """The part of an engine that describes acknowledgements."""

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds, if it is known."""

    @property
    def unacknowledged(self) -> bool:
        """Whether the peer has not acknowledged everything."""


WaiterT = TypeVar("WaiterT", bound=Waiter)


class AwaitedAnswers(Generic[WaiterT]):
    """Waiters for the answers of a link's peer, in the order of sending.

    It belongs to the role above the link, which adds waiters. The link calls the other methods.
    """

    def __init__(self) -> None:
        self.is_waiting = False
        """Whether there is a waiter, so that the other methods must be called."""
        self._unsent: list[WaiterT] = []
        self._sent: deque[tuple[float, list[WaiterT]]] = deque()

    def __iter__(self) -> Iterator[WaiterT]:
        """Iterate over the waiters. Others may be added meanwhile."""
        for _, waiters in tuple(self._sent):
            yield from tuple(waiters)
        yield from tuple(self._unsent)

    def add(self, waiter: WaiterT) -> None:
        """Wait for the answer to what is sent next."""
        self.is_waiting = True
        self._unsent.append(waiter)

    def sent(self, now: float) -> None:
        """Record that everything up to now was sent, at the time `now`."""
        if self._unsent:
            self._sent.append((now, self._unsent))
            self._unsent = []

    def acknowledged(self, now: float, connection: Acknowledgements) -> None:
        """Record that the peer has acknowledged something, and call the waiters that it answers.

        :param now: when the acknowledgement arrived, on the clock of `sent`.
        """
        if not self._sent:
            return
        latest = now - (connection.rtt or 0.0) / 2
        if self._sent[-1][0] > latest and not connection.unacknowledged:
            latest = now
        while self._sent and self._sent[0][0] <= latest:
            for waiter in self._sent.popleft()[1]:
                waiter.answered()
        self.is_waiting = bool(self._sent or self._unsent)
