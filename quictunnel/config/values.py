"""The kinds of values in a configuration file, and what all of its tables share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Literal

from quictunnel.errors import OutOfRange, SettingsError

Kind = Literal["flag", "text", "texts", "path", "date"]
"""Kinds of value: true or false, one value, several values, the path of a file or folder, or a date
with or without a time."""

STANDARD_STREAM = "-"
"""Stands for standard output where an option takes a path. It is no path."""

Value = bool | str | list[str]
"""A value as the command line has it: numbers are text."""

Table = Mapping[str, Value]
"""The values of one table, by key. The keys and the kinds of the values are valid."""

_MAX_DIGITS = 16


@contextlib.contextmanager
def located(place: object) -> Iterator[None]:
    """Put a place, such as a file and a key, in front of errors."""
    try:
        yield
    except SettingsError as exc:
        raise SettingsError(f"{place}: {exc}") from exc


@contextlib.contextmanager
def table_located(place: str) -> Iterator[None]:
    """Put the file and the table in front of errors, and the key of a number out of its range."""
    try:
        yield
    except OutOfRange as exc:
        raise SettingsError(f"{place}.{exc.key}: {exc.sentence}") from exc
    except SettingsError as exc:
        raise SettingsError(f"{place}: {exc}") from exc


def texts_of(table: Table, key: str) -> list[str]:
    """Return a value of the kind `texts`; an empty list if the key is not set."""
    texts = table.get(key, [])
    assert isinstance(texts, list)  # its kind
    return texts


def number_of(place: str, key: str, table: Table) -> int | None:
    """Return a whole number, or None if the key is not set.

    :raises SettingsError: it is not a whole number.
    """
    if key not in table:
        return None
    text = str(table[key])
    if not (text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS):
        raise SettingsError(f"{place}.{key}: {text[:_MAX_DIGITS]!r} is not a number of clients")
    return int(text)
