"""Writes TOML: the values that configuration files have, and tables of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias

TomlValue: TypeAlias = bool | int | str | date | Sequence[str]
"""A value as `tomllib` returns it. `datetime` is a subclass of `date`."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def format_table(names: Sequence[str], table: Mapping[str, TomlValue]) -> str:
    """Return a table as lines of text.

    :param names: the parts of its name: `("token", "2fdf26f2")` for `[token.2fdf26f2]`.
    """
    lines = [f"[{'.'.join(map(format_key, names))}]"]
    lines += [f"{format_key(key)} = {format_value(value)}" for key, value in table.items()]
    return "".join(f"{line}\n" for line in lines)


def format_key(key: str) -> str:
    """Return a key, in quotes if it needs them."""
    return key if _BARE_KEY.fullmatch(key) else _quote(key)


def format_value(value: TomlValue) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, str):
        return _quote(value)
    return f"[{', '.join(map(format_value, value))}]"


def _quote(text: str) -> str:
    """Return a basic string, in which what could control a terminal is escaped.

    Bytes of a path that are not UTF-8 have no form in TOML. They become escapes in words.
    """
    text = text.encode(errors="backslashreplace").decode()
    return f'"{"".join(map(_escape, text))}"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
