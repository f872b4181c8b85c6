"""The tables `[token.ID]` of a remote's configuration file: secrets and rights."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from quictunnel.config.files import read_text, warn_if_exposed
from quictunnel.config.grants import Grant
from quictunnel.config.hosts import parse_host
from quictunnel.config.policy_values import rate_of
from quictunnel.config.ports import parse_allowed_ports
from quictunnel.config.tokens import Token
from quictunnel.config.values import Kind, Table, located, number_of, table_located, texts_of
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink

TOKEN = "token"  # noqa: S105 - a key
"""The key of the table that contains the rights of tokens."""

TOKEN_KEYS: Mapping[str, Kind] = {
    "secret": "text",
    "secret-file": "path",
    "outside": "flag",
    "ports": "texts",
    "hosts": "texts",
    "expires": "date",
    "max-clients": "text",
    "rate": "text",
    "comment": "text",
}
"""The keys of a token."""

_MAX_COMMENT = 200
"""Characters of a comment, at most: it is one line of a list."""


def read_tokens(
    path: Path, tables: Mapping[str, Table], emit: EventSink
) -> tuple[tuple[Token, ...], dict[str, Grant]]:
    """Return the tokens of tables that have a secret, and the rights of all.

    :param path: the file, for errors.
    :raises SettingsError: a value is invalid, or a secret cannot be read.
    """
    tokens = [
        token
        for name, table in tables.items()
        if (token := _token(path, name, table, emit)) is not None
    ]
    return tuple(tokens), {name: _grant(path, name, table) for name, table in tables.items()}


def secret_files(tables: Mapping[str, Table]) -> tuple[Path, ...]:
    """Return the files of secrets that tables name."""
    names = (table.get("secret-file") for table in tables.values())
    return tuple(Path(str(name)) for name in names if name is not None)


def _token(path: Path, name: str, table: Table, emit: EventSink) -> Token | None:
    """Return the token of a table; None if its secret is elsewhere.

    :raises SettingsError: the secret is invalid, or cannot be read.
    """
    place = f"{path}: {TOKEN}.{name}"
    if "secret" in table and "secret-file" in table:
        raise SettingsError(f"{place}: 'secret' and 'secret-file' are both set; set one of them")
    secret = str(table.get("secret", ""))
    with located(place):
        if "secret-file" in table:
            file = Path(str(table["secret-file"]))
            secret = read_text(file, "the secret file").strip()
            warn_if_exposed(file, emit)
        if "." in secret:
            raise SettingsError("the secret is only the part of the token after the dot")
        return Token(name, secret) if {"secret", "secret-file"} & table.keys() else None


def _grant(path: Path, name: str, table: Table) -> Grant:
    """Return the rights of a table.

    :raises SettingsError: a value is invalid.
    """
    place = f"{path}: {TOKEN}.{name}"
    with located(f"{place}.comment"):
        _check_comment(str(table.get("comment", "")))
    ports = None
    if "ports" in table:
        with located(f"{place}.ports"):
            ports = tuple(map(parse_allowed_ports, texts_of(table, "ports")))
    hosts = None
    if "hosts" in table:
        with located(f"{place}.hosts"):
            hosts = tuple(map(parse_host, texts_of(table, "hosts")))
    max_clients = number_of(place, "max-clients", table)
    rate = rate_of(place, "rate", table)
    with table_located(place):
        return Grant(
            outside=bool(table.get("outside", True)),
            ports=ports,
            hosts=hosts,
            expires_at=_timestamp(str(table["expires"])) if "expires" in table else None,
            max_clients=max_clients,
            rate=rate,
        )


def _check_comment(text: str) -> None:
    if not text.isprintable() or len(text) > _MAX_COMMENT:
        raise SettingsError(f"a comment is one line of at most {_MAX_COMMENT} characters")


def _timestamp(text: str) -> float:
    """Return seconds since 1970. A date is the start of the day; a time without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
