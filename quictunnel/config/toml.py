"""Reads configuration files in TOML: the values of options, and the services of an origin.

The caller says which options exist. The values of options are checked where options are parsed, so
a value in a file means the same as on the command line.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from quictunnel.config.addresses import Network, parse_network
from quictunnel.config.files import read_text, warn_if_exposed
from quictunnel.config.grants import Grant
from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange, parse_allowed_ports, parse_ports
from quictunnel.config.services import (
    DEFAULT_SERVICE,
    ProxyProtocol,
    ServiceSettings,
    check_service_name,
    check_services,
    parse_range_target,
)
from quictunnel.config.tokens import Token, is_token_id
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink

Kind = Literal["flag", "text", "texts", "path", "date"]
"""Kinds of value: true or false, one value, several values, the path of a file or folder, or a date
with or without a time."""

Value = bool | str | list[str]
"""A value as the command line has it: numbers are text."""

SERVICE = "service"
"""The key of the table that contains the services."""

_EXPECTED: Mapping[Kind, str] = {
    "flag": "true or false",
    "text": "a string or a whole number",
    "texts": "a string, a whole number or a list of them",
    "path": "a string with a path",
    "date": "a date, such as 2027-01-31, with or without a time",
}

TOKEN = "token"  # noqa: S105 - a key
"""The key of the table that contains the rights of tokens."""

POLICY = "policy"
"""The key of the table that contains the policies of services."""

_SERVICE_KEYS: Mapping[str, Kind] = {"to": "text", "port": "text", "proxy-protocol": "text"}

_TOKEN_KEYS: Mapping[str, Kind] = {
    "secret": "text",
    "secret-file": "path",
    "outside": "flag",
    "ports": "texts",
    "expires": "date",
    "max-clients": "text",
}

_POLICY_KEYS: Mapping[str, Kind] = {
    "allow": "texts",
    "deny": "texts",
    "max-clients": "text",
    "max-clients-per-address": "text",
    "max-rate-per-address": "text",
}

_TABLE_KEYS = {SERVICE: _SERVICE_KEYS, TOKEN: _TOKEN_KEYS, POLICY: _POLICY_KEYS}

_MAX_DIGITS = 16

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

    service_tables: Mapping[str, Mapping[str, Value]] = field(repr=False, default_factory=dict)
    """The tables `[service.NAME]` of an origin's file, by name."""

    token_tables: Mapping[str, Mapping[str, Value]] = field(repr=False, default_factory=dict)
    """The tables `[token.ID]` of a remote's file, by ID."""

    policy_tables: Mapping[str, Mapping[str, Value]] = field(repr=False, default_factory=dict)
    """The tables `[policy.NAME]` of a remote's file, by name."""

    def services(self, proxy_protocol: ProxyProtocol = "off") -> tuple[ServiceSettings, ...]:
        """Return the services.

        :param proxy_protocol: the version for services whose table does not set one.
        :raises SettingsError: a value is invalid, or two services collide.
        """
        services = [
            _service(
                self.path, name, {key: str(text) for key, text in table.items()}, proxy_protocol
            )
            for name, table in self.service_tables.items()
        ]
        with _located(self.path):
            check_services(services)
        return tuple(services)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of secrets that the tables name."""
        names = (table.get("secret-file") for table in self.token_tables.values())
        return tuple(Path(str(name)) for name in names if name is not None)

    def tokens(self, emit: EventSink) -> tuple[tuple[Token, ...], dict[str, Grant]]:
        """Return the tokens of the tables `[token.ID]` that have a secret, and the rights of all.

        :raises SettingsError: a value is invalid, or a secret cannot be read.
        """
        tokens = [
            token
            for name, table in self.token_tables.items()
            if (token := _token(self.path, name, table, emit)) is not None
        ]
        grants = {name: _grant(self.path, name, table) for name, table in self.token_tables.items()}
        return tuple(tokens), grants

    def policies(self) -> dict[PortRange | None, Policy]:
        """Return the policies, by the ports that they are for; None for the outside address.

        :raises SettingsError: a value is invalid.
        """
        return dict(_policy(self.path, name, table) for name, table in self.policy_tables.items())


def parse(text: str, path: Path) -> Document:
    """Parse TOML.

    :param path: the file, for errors.
    :raises SettingsError: the text is not TOML. The error has the line and the column.
    """
    # `from None`: the original exceptions carry the text, which may contain a secret.
    try:
        return Document(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        reason = str(exc)
        reason = f'{reason[:1].lower()}{reason[1:]}; text needs quotes, as in hold = "15m"'
        raise SettingsError(f"{path}: not TOML: {reason}") from None
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
                _suggestion(key, [*keys, *kinds])
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
        return str(path.parent / value)
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


def _service(
    path: Path, name: str, table: Mapping[str, str], proxy_protocol: ProxyProtocol
) -> ServiceSettings:
    """Return the service of a table.

    :raises SettingsError: a value is invalid, or `to` is missing.
    """
    place = f"{path}: {SERVICE}.{name}"
    if "to" not in table:
        raise SettingsError(
            f"{place}: 'to' is missing; it is the origin server's address, such as "
            'to = "localhost:22"'
        )
    with _located(place):
        check_service_name(name)
    ports = None
    if "port" in table:
        with _located(f"{place}.port"):
            ports = parse_ports(table["port"])
    with _located(f"{place}.to"):
        target = parse_range_target(table["to"], ports)
    if "proxy-protocol" in table:
        with _located(f"{place}.proxy-protocol"):
            proxy_protocol = _proxy_protocol(table["proxy-protocol"])
    with _located(place):
        return ServiceSettings(
            # Both ends know the service at the outside address by its own name.
            name=DEFAULT_SERVICE if ports is None else name,
            ports=ports,
            target=target,
            proxy_protocol=proxy_protocol,
        )


def _token(path: Path, name: str, table: Mapping[str, Value], emit: EventSink) -> Token | None:
    """Return the token of a table; None if its secret is elsewhere.

    :raises SettingsError: the secret is invalid, or cannot be read.
    """
    place = f"{path}: {TOKEN}.{name}"
    if "secret" in table and "secret-file" in table:
        raise SettingsError(f"{place}: 'secret' and 'secret-file' are both set; set one of them")
    secret = str(table.get("secret", ""))
    with _located(place):
        if "secret-file" in table:
            file = Path(str(table["secret-file"]))
            secret = read_text(file, "the secret file").strip()
            warn_if_exposed(file, emit)
        if "." in secret:
            raise SettingsError("the secret is only the part of the token after the dot")
        return Token(name, secret) if {"secret", "secret-file"} & table.keys() else None


def _grant(path: Path, name: str, table: Mapping[str, Value]) -> Grant:
    """Return the rights of a table.

    :raises SettingsError: a value is invalid.
    """
    place = f"{path}: {TOKEN}.{name}"
    ports = None
    if "ports" in table:
        with _located(f"{place}.ports"):
            texts = table["ports"]
            assert isinstance(texts, list)  # its kind
            ports = tuple(map(parse_allowed_ports, texts))
    max_clients = _number(place, "max-clients", table)
    with _located(place):
        return Grant(
            outside=bool(table.get("outside", True)),
            ports=ports,
            expires_at=_timestamp(str(table["expires"])) if "expires" in table else None,
            max_clients=max_clients,
        )


def _policy(path: Path, name: str, table: Mapping[str, Value]) -> tuple[PortRange | None, Policy]:
    """Return the policy of a table, and the ports that it is for.

    :raises SettingsError: a value is invalid.
    """
    place = f"{path}: {POLICY}.{name}"
    ports = None
    if name != DEFAULT_SERVICE:
        with _located(f"{place}: a policy is for 'default', a port or a range of ports"):
            ports = parse_allowed_ports(name)
    networks: dict[str, tuple[Network, ...]] = {}
    for key in ("allow", "deny"):
        with _located(f"{place}.{key}"):
            texts = table.get(key, [])
            assert isinstance(texts, list)  # its kind
            if key in table and not texts:
                raise SettingsError("the list is empty; leave the key out to accept all clients")
            networks[key] = tuple(map(parse_network, texts))
    numbers = {
        key.replace("-", "_"): _number(place, key, table)
        for key in ("max-clients", "max-clients-per-address", "max-rate-per-address")
    }
    with _located(place):
        return ports, Policy(
            allow=networks["allow"],
            deny=networks["deny"],
            max_clients=numbers["max_clients"],
            max_clients_per_address=numbers["max_clients_per_address"],
            max_rate_per_address=numbers["max_rate_per_address"],
        )


def _number(place: str, key: str, table: Mapping[str, Value]) -> int | None:
    """Return a whole number, or None if the key is not set.

    :raises SettingsError: it is not a whole number.
    """
    if key not in table:
        return None
    text = str(table[key])
    if not (text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS):
        raise SettingsError(f"{place}.{key}: {text[:_MAX_DIGITS]!r} is not a number of clients")
    return int(text)


def _timestamp(text: str) -> float:
    """Return seconds since 1970. A date is the start of the day; a time without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _proxy_protocol(text: str) -> ProxyProtocol:
    for version in get_args(ProxyProtocol):
        if text == version:
            return version  # type: ignore[no-any-return] # get_args has no types
    raise SettingsError(f"{text!r} is not off, v1 or v2")


@contextlib.contextmanager
def _located(place: object) -> Iterator[None]:
    """Put a place, such as a file and a key, in front of errors."""
    try:
        yield
    except SettingsError as exc:
        raise SettingsError(f"{place}: {exc}") from exc
