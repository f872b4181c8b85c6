"""Which clients `quictunnel top` shows, and in which order: keys change it."""

from __future__ import annotations

from typing import get_args

from quictunnel.cli.clients import SortKey
from quictunnel.cli.terminal_keys import DOWN, HOME, LEFT, PAGE_DOWN, PAGE_UP, RIGHT, UP

ORDERS: tuple[SortKey, ...] = get_args(SortKey)
"""The orders, as the keys select them."""


class TopPosition:
    """The place in the list of clients, which begins with the fastest one."""

    def __init__(self) -> None:
        self.order: SortKey = "rate"
        """The order of the clients."""
        self.offset = 0
        """Clients before the first one that is shown."""

    def press(self, key: str, *, rows: int) -> bool:
        """Change the place; return whether the key does that.

        :param rows: clients on a page.
        """
        moves = {UP: -1, DOWN: 1, PAGE_UP: -rows, PAGE_DOWN: rows, HOME: -self.offset}
        turns = {LEFT: -1, RIGHT: 1}
        if key in moves:
            self.offset = max(0, self.offset + moves[key])
        elif key in turns:
            index = (ORDERS.index(self.order) + turns[key]) % len(ORDERS)
            self.order, self.offset = ORDERS[index], 0
        else:
            return False
        return True

    def limit(self, total: int) -> bool:
        """Go back to the last client if there are fewer than before; return whether that helps."""
        if self.offset < total or self.offset == 0:
            return False
        self.offset = max(0, total - 1)
        return True
