"""The tokens that commands have added to a state directory: the file `tokens.toml`.

It has tables `[token.ID]` as a remote's configuration file has, each with its secret. Commands
write it, and the remote reads it. Each change replaces the file atomically, so the remote reads it
without a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias, cast

from quictunnel.config import files
from quictunnel.config.directory_lock import locked
from quictunnel.config.grants import Grant
from quictunnel.config.state import STORE_FILE, WHAT, make_state_directory
from quictunnel.config.token_tables import TOKEN
from quictunnel.config.tokens import Token
from quictunnel.config.toml import Config, parse, read_config
from quictunnel.config.toml_writer import TomlValue, format_table
from quictunnel.config.values import Table
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, discard_event

_HEADER = (
    "# The tokens that 'quictunnel token new' has added. Keep them secret.\n"
    "# 'quictunnel token revoke ID' removes one. Comments in this file are not kept.\n"
)
_WHAT_FILE = "the file of added tokens"

_Tables: TypeAlias = dict[str, Mapping[str, TomlValue]]
"""Tables by the tokens' IDs."""


class TokenStore:
    """The added tokens of a state directory.

    :param directory: the state directory. It need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / STORE_FILE
        """The file."""

    def load(self, emit: EventSink = discard_event) -> tuple[tuple[Token, ...], dict[str, Grant]]:
        """Return the tokens and their rights; none if there is no file.

        :raises SettingsError: the file cannot be read, or has something invalid.
        """
        text = self._read()
        if text is None:
            return (), {}
        files.warn_if_exposed(self.path, emit)
        return _checked(text, self.path)

    def tables(self) -> Mapping[str, Table]:
        """Return the tables of the tokens, by ID.

        :raises SettingsError: as `load`.
        """
        text = self._read()
        if text is None:
            return {}
        _checked(text, self.path)
        return _parsed(text, self.path).token_tables

    def check(self, token: Token, rights: Mapping[str, TomlValue]) -> Grant:
        """Return the grant of a token that has these rights, and change nothing.

        :param rights: the keys of its table except the secret.
        :raises SettingsError: a right is invalid. The error begins with `place` of the token.
        """
        _, grants = _checked(_format({token.id: _table(token, rights)}), self.path)
        return grants[token.id]

    def place(self, token_id: str) -> str:
        """Return the beginning of errors in a token's table."""
        return f"{self.path}: {TOKEN}.{token_id}"

    def add(self, token: Token, rights: Mapping[str, TomlValue]) -> None:
        """Add a token. Create the directory and the file if they are missing.

        :param rights: the keys of its table except the secret.
        :raises SettingsError: a right is invalid, there is such a token, or the file cannot be read
            or written. Then nothing has changed.
        """
        self.check(token, rights)
        make_state_directory(self._directory, is_anothers=True)

        def change(tables: _Tables) -> None:
            if token.id in tables:
                raise SettingsError(f"a token with the id {token.id} is in {self.path} already")
            tables[token.id] = _table(token, rights)

        self._change(change)

    def remove(self, token_id: str) -> bool:
        """Remove a token; return False if there is no such token.

        :raises SettingsError: the file cannot be read or written. Then nothing has changed.
        """
        if token_id not in self.tables():
            return False
        was_there = False

        def change(tables: _Tables) -> None:
            nonlocal was_there
            was_there = tables.pop(token_id, None) is not None  # another command may be faster

        self._change(change)
        return was_there

    def _change(self, change: Callable[[_Tables], None]) -> None:
        """Read the tables, change them and write them, while no other command does the same.

        A damaged file is reported and not overwritten.
        """
        with locked(self._directory, WHAT):
            text = self._read() or ""
            _checked(text, self.path)
            # The values as the file has them: a date stays a date, and a number a number.
            content = cast("Mapping[str, _Tables]", parse(text, self.path).content)
            tables = {**content.get(TOKEN, {})}
            change(tables)
            new = _format(tables).encode()
            if len(new) > files.MAX_BYTES:
                raise SettingsError(
                    f"{_WHAT_FILE} {files.quoted(self.path)} is full; revoke some tokens"
                )
            files.replace(self.path, new, _WHAT_FILE, for_owner_of_folder=True)

    def _read(self) -> str | None:
        """Return the file's text; None if there is no file."""
        return (
            files.read_text(self.path, _WHAT_FILE) if files.exists(self.path, _WHAT_FILE) else None
        )


def _table(token: Token, rights: Mapping[str, TomlValue]) -> Mapping[str, TomlValue]:
    return {"secret": token.secret, **rights}


def _format(tables: _Tables) -> str:
    return "\n".join([_HEADER, *(format_table((TOKEN, name), tables[name]) for name in tables)])


def _parsed(text: str, path: Path) -> Config:
    """Return the file's tables.

    :raises SettingsError: the file has anything else.
    """
    document = parse(text, path)
    if other := next((key for key in document.content if key != TOKEN), None):
        raise SettingsError(f"{path}: unknown key {other!r}; the file has only tables [token.ID]")
    return read_config(document, {}, has_services=False)


def _checked(text: str, path: Path) -> tuple[tuple[Token, ...], dict[str, Grant]]:
    """Return the tokens of the file and their rights.

    :raises SettingsError: a value is invalid, or a table has no secret.
    """
    config = _parsed(text, path)
    for name, table in config.token_tables.items():
        if "secret" not in table:
            raise SettingsError(f"{path}: {TOKEN}.{name}: 'secret' is missing")
    return config.tokens(discard_event)
