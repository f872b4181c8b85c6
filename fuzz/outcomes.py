"""Feeds one parser the same bytes in different pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias, TypeVar

from quictunnel.errors import ProtocolError

Found_co = TypeVar("Found_co", covariant=True)


class Reader(Protocol[Found_co]):
    """A parser of a connection's first bytes."""

    def feed(self, data: bytes) -> Found_co | None:
        """Return the result, or None while more bytes are needed."""
        ...


Refusal: TypeAlias = tuple[type[ProtocolError], str, object]
"""The class of an error, its message and its other facts."""


def outcome(reader: Reader[Found_co], pieces: Iterable[bytes]) -> Found_co | Refusal | None:
    """Return a reader's result or its error, or None if it needs more than all pieces."""
    for piece in pieces:
        try:
            found = reader.feed(piece)
        except ProtocolError as exc:
            return type(exc), str(exc), vars(exc)
        if found is not None:
            return found
    return None


def outcome_of_any_split(new_reader: Callable[[], Reader[Found_co]], data: bytes) -> object:
    """Return the outcome of `data`, after a check that its split does not change it."""
    whole = outcome(new_reader(), [data])
    for pieces in _splits(data):
        assert outcome(new_reader(), pieces) == whole, "the outcome depends on the split"
    return whole


def _splits(data: bytes) -> Iterator[list[bytes]]:
    """Return a few ways to split bytes. Equal bytes are split in the same way."""
    for size in (1, 7, 1 + sum(data[:64])):
        yield [data[at : at + size] for at in range(0, len(data), size)]
