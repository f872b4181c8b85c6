"""How much the peer may send on all streams together: the link's window and the shared budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.quic.flow_control import LinkWindow

if TYPE_CHECKING:
    from quictunnel.quic.flow_control import Budget


class ReceiveCredit:
    """One connection's part of the budget for unread data.

    :param budget: shared by all connections of the process.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._window = LinkWindow(budget)
        self._read = 0
        self._counted = 0  # our part of `budget.unread`
        self._is_trusted = False
        self._is_closed = False

    @property
    def may_grow(self) -> bool:
        """Whether there is memory for larger stream windows."""
        return self._budget.may_grow

    @property
    def relief_at(self) -> float:
        """When `update` must be called even if nothing happens."""
        return self._window.relief_at

    def trust(self) -> None:
        """Grant the normal window: the peer has proven who it is."""
        if not (self._is_trusted or self._is_closed):
            self._is_trusted = True
            self._window.begin()

    def close(self) -> None:
        """Give the connection's part of the budget back."""
        if self._is_trusted and not self._is_closed:
            self._window.end()
        self._is_closed = True
        self._count(0)

    def add_read(self, size: int) -> None:
        """Count bytes that were read or dropped."""
        self._read += size

    def update(self, limit: int, *, received: int, now: float) -> int:
        """Count what is unread, and return the new limit on the connection's bytes.

        :param limit: the present limit.
        :param received: bytes received on all streams.
        """
        if self._is_closed:
            return limit
        self._count(received - self._read)
        if not self._is_trusted:
            return limit
        return self._window.move(limit, used=received, read=self._read, now=now)

    def _count(self, unread: int) -> None:
        self._budget.unread += unread - self._counted
        self._counted = unread
