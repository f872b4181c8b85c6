"""Reads configuration files in TOML: the values of options, and tables of services and rights.

The caller says which options exist. The values of options are checked where options are parsed, so
a value in a file means the same as on the command line. The modules `*_tables` check the tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path

from quictunnel.config.grants import Grant
from quictunnel.config.policy import Place, Policy
from quictunnel.config.policy_tables import POLICY, read_policies
from quictunnel.config.policy_values import POLICY_KEYS, network_files
from quictunnel.config.service_tables import SERVICE, SERVICE_KEYS, read_services
from quictunnel.config.services import NO_DEFAULTS, ServiceDefaults, ServiceSettings
from quictunnel.config.token_tables import TOKEN, TOKEN_KEYS, read_tokens, secret_files
from quictunnel.config.tokens import Token, is_token_id
from quictunnel.config.toml_errors import describe
from quictunnel.config.values import STANDARD_STREAM, Kind, Table, Value
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink

_EXPECTED: Mapping[Kind, str] = {
    "flag": "true or false",
    "text": "a string or a whole number",
    "texts": "a string, a whole number or a list of them",
    "path": "a string with a path",
    "date": "a date, such as 2027-01-31, with or without a time",
}

_TABLE_KEYS = {SERVICE: SERVICE_KEYS, TOKEN: TOKEN_KEYS, POLICY: POLICY_KEYS}

REMOTE_KEYS = frozenset(
    (
        "accept-proxy-protocol",
        "cert",
        "client-keepalive",
        "client-wait",
        "hosts",
        "http",
        "key",
        "listen",
        "origins-from",
        "outside",
        "ports",
        "sockets",
        "state-dir",
        "tls",
        "trusted-proxy",
        "websocket-path",
    )
)
"""The options that only a remote has."""

ORIGIN_KEYS = frozenset(
    (
        "ca",
        "insecure-websocket",
        "name",
        "origin",
        "pin",
        "proxy",
        "proxy-protocol",
        "remote",
        "share",
        "sticky",
        "take-over",
        "via",
        "websocket-ca",
    )
)
"""The options that only an origin has."""

ONLY_THE_ID = "write only the part of the token before the dot"
"""The advice for a table whose name seems to contain a secret."""

_MAX_BITS = 63
"""Bits of a whole number, at most. Python converts no number of thousands of digits to text."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is valid TOML. Its keys are not checked yet."""

    path: Path
    content: Mapping[str, object] = field(repr=False)

    @property
    def is_origins(self) -> bool:
        """Whether the file belongs to an origin: it names a remote, or has services."""
        return "remote" in self.content or SERVICE in self.content


@dataclass(frozen=True, slots=True)
class Config:
    """A file whose keys and types are valid."""

    path: Path

    values: Mapping[str, Value] = field(repr=False)
    """The values of options, by key: the option's name without the leading dashes."""

    service_tables: Mapping[str, Table] = field(repr=False, default_factory=dict)
    """The tables `[service.NAME]` of an origin's file, by name."""

    token_tables: Mapping[str, Table] = field(repr=False, default_factory=dict)
    """The tables `[token.ID]` of a remote's file, by ID."""

    policy_tables: Mapping[str, Table] = field(repr=False, default_factory=dict)
    """The tables `[policy.NAME]` of a remote's file, by name."""

    def services(self, defaults: ServiceDefaults = NO_DEFAULTS) -> tuple[ServiceSettings, ...]:
        """Return the services.

        :param defaults: the values for services whose table does not set them.
        :raises SettingsError: a value is invalid, or two services collide.
        """
        return read_services(self.path, self.service_tables, defaults)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the tables name: those of secrets and those of networks."""
        networks = network_files(self.policy_tables) + network_files(self.service_tables)
        return secret_files(self.token_tables) + networks

    def tokens(self, emit: EventSink) -> tuple[tuple[Token, ...], dict[str, Grant]]:
        """Return the tokens of the tables `[token.ID]` that have a secret, and the rights of all.

        :raises SettingsError: a value is invalid, or a secret cannot be read.
        """
        return read_tokens(self.path, self.token_tables, emit)

    def policies(self) -> dict[Place, Policy]:
        """Return the policies, by the places that they are for.

        :raises SettingsError: a value is invalid.
        """
        return read_policies(self.path, self.policy_tables)


def parse(text: str, path: Path) -> Document:
    """Parse TOML.

    :param path: the file, for errors.
    :raises SettingsError: the text is not TOML. The error has the line and the column.
    """
    # `from None`: the original exceptions carry the text, which may contain a secret.
    try:
        return Document(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path}: not TOML: {describe(text, str(exc))}") from None
    except (ValueError, RecursionError):
        reason = "a number is too long, or lists are nested too deeply"
        raise SettingsError(f"{path}: not TOML: {reason}") from None


def read_config(document: Document, keys: Mapping[str, Kind], *, has_services: bool) -> Config:
    """Check the keys of a file and the types of their values.

    :param keys: the keys that the file may have, and the kinds of their options. Paths that are
        relative in the file start at the file's folder in the result.
    :param has_services: whether the file may have tables `[service.NAME]`.
    :raises SettingsError: a key is unknown, or a value has the wrong type.
    """
    path = document.path
    if SERVICE in document.content and not has_services:
        raise SettingsError(
            f"{path}: unknown key '{SERVICE}': services belong in the origin's file, not in the "
            "remote's"
        )
    kinds = (SERVICE,) if has_services else (TOKEN, POLICY)
    content = dict(document.content)
    # `token = "..."` is an option, and only the tables are not.
    tables = {
        kind: _tables(path, kind, content.pop(kind, {}), keys)
        for kind in kinds
        if kind not in keys or isinstance(content.get(kind, {}), dict)
    }
    values: dict[str, Value] = {}
    for key, value in content.items():
        if key == POLICY:
            raise SettingsError(
                f"{path}: unknown key '{POLICY}': policies belong in the remote's file, not in the "
                "origin's"
            )
        if key not in keys:
            hint = (
                _other_role(key, has_services=has_services)
                or _suggestion(key, [*keys, *kinds])
                or "the keys are the command's options without '--'"
            )
            raise SettingsError(f"{path}: unknown key {key!r}; {hint}")
        values[key] = _value(path, key, keys[key], value)
    by_name = {f"{kind}_tables": content for kind, content in tables.items()}
    return Config(path, values, **by_name)


def _tables(
    path: Path, kind: str, content: object, keys: Iterable[str]
) -> dict[str, dict[str, Value]]:
    """Return the tables `[KIND.NAME]`. `keys` are those that stand above them."""
    own_keys = _TABLE_KEYS[kind]
    example = f"[{kind}.{'ID' if kind == TOKEN else 'NAME'}]"
    if not isinstance(content, dict):
        raise SettingsError(
            f"{path}: {kind}: expected tables {example}, found {_type_name(content)}"
        )
    tables: dict[str, dict[str, Value]] = {}
    for name, table in content.items():
        if kind == TOKEN and not is_token_id(name):
            # It is not quoted, because it may contain the secret.
            raise SettingsError(f"{path}: a table {example} has no valid ID; {ONLY_THE_ID}")
        place = f"{kind}.{name}"
        if not isinstance(table, dict):
            raise SettingsError(
                f"{path}: {place}: expected a table, found {_type_name(table)}; write "
                f"{example} and the {kind}'s keys below it"
            )
        tables[name] = {}
        for key, value in table.items():
            if kind == TOKEN and isinstance(value, dict):
                raise SettingsError(f"{path}: {place}: unexpected table; {ONLY_THE_ID}")
            if key not in own_keys:
                hint = _table_hint(kind, place, key, own_keys)
                if key in keys:
                    # TOML assigns every key to the table above it.
                    hint = f"write {key!r} above the first {example}"
                raise SettingsError(f"{path}: unknown key '{place}.{key}'; {hint}")
            tables[name][key] = _value(path, f"{place}.{key}", own_keys[key], value)
    return tables


def _table_hint(kind: str, place: str, key: str, own_keys: Iterable[str]) -> str:
    names = ", ".join(own_keys)
    return _suggestion(key, own_keys, f"{place}.") or f"a {kind} has the keys {names}"


def _other_role(key: str, *, has_services: bool) -> str:
    """Return a sentence if only the other role's file has a key, otherwise nothing."""
    if key in (REMOTE_KEYS if has_services else ORIGIN_KEYS):
        own, other = ("origin", "remote") if has_services else ("remote", "origin")
        return f"it belongs in the {other}'s file, not in the {own}'s"
    return ""


def _suggestion(key: str, keys: Iterable[str], prefix: str = "") -> str:
    """Return a question that names the most similar key, or nothing if none is similar."""
    similar = get_close_matches(key.lower(), list(keys), n=1)
    return f"did you mean '{prefix}{similar[0]}'?" if similar else ""


def _value(path: Path, key: str, kind: Kind, value: object) -> Value:
    """Convert a value of TOML to what an option of this kind has on the command line.

    :raises SettingsError: the value has another type.
    """
    if kind == "flag" and isinstance(value, bool):
        return value
    if kind == "texts" and isinstance(value, list):
        return [_text(path, key, kind, item, " in the list") for item in value]
    if kind == "path" and isinstance(value, str):
        if not value:
            raise SettingsError(f"{path}: {key}: the path is empty")
        return value if value == STANDARD_STREAM else str(path.parent / value)
    if kind == "date" and isinstance(value, date):  # datetime is a subclass
        return value.isoformat()
    if kind in ("text", "texts"):
        text = _text(path, key, kind, value)
        return [text] if kind == "texts" else text
    raise _wrong_type(path, key, kind, value)


def _text(path: Path, key: str, kind: Kind, value: object, where: str = "") -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > _MAX_BITS:
            raise SettingsError(f"{path}: {key}: the number is too large")
        return str(value)
    raise _wrong_type(path, key, kind, value, where)


def _wrong_type(path: Path, key: str, kind: Kind, value: object, where: str = "") -> SettingsError:
    """Return the error, which does not quote the value because it may be a secret."""
    found = f"{_type_name(value)}{where}"
    return SettingsError(f"{path}: {key}: expected {_EXPECTED[kind]}, found {found}")


def _type_name(value: object) -> str:
    names: dict[type | tuple[type, ...], str] = {
        bool: "true or false",  # before int, of which it is a subclass
        int: "a whole number",
        float: "a decimal number",
        str: "a string",
        list: "a list",
        (date, time): "a date or a time",
    }
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a table")
