"""A table whose entries belong to tokens, so that no token displaces the entries of others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class FairTable(Generic[KeyT, ValueT]):
    """A table with an order. The caller bounds it: `oldest` selects the entry to remove."""

    def __init__(self) -> None:
        self._by_token: dict[str, OrderedDict[KeyT, ValueT]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[ValueT]:
        """Iterate over the values, in no particular order."""
        for entries in self._by_token.values():
            yield from entries.values()

    def get(self, token_id: str, key: KeyT) -> ValueT | None:
        """Return the value of a token's key; None if there is none."""
        entries = self._by_token.get(token_id)
        return None if entries is None else entries.get(key)

    def add(self, token_id: str, key: KeyT, value: ValueT) -> None:
        """Add an entry as the newest one of its token, in place of one with the same key."""
        self.pop(token_id, key)
        self._by_token.setdefault(token_id, OrderedDict())[key] = value
        self._size += 1

    def pop(self, token_id: str, key: KeyT) -> ValueT | None:
        """Remove an entry, and return its value; None if there is none."""
        entries = self._by_token.get(token_id)
        if entries is None or key not in entries:
            return None
        value = entries.pop(key)
        self._size -= 1
        if not entries:
            del self._by_token[token_id]
        return value

    def oldest(self) -> tuple[str, KeyT]:
        """Return the token that has the most entries, and the key of its oldest one.

        The table has an entry.
        """
        token_id = max(self._by_token, key=lambda each: len(self._by_token[each]))
        return token_id, next(iter(self._by_token[token_id]))
