"""Reads configuration files in TOML: the values of options, and the services of an origin.

The caller says which options exist. The values of options are checked where options are parsed, so
a value in a file means the same as on the command line.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from quictunnel.config.ports import parse_ports
from quictunnel.config.services import (
    DEFAULT_SERVICE,
    ProxyProtocol,
    ServiceSettings,
    check_service_name,
    check_services,
    parse_range_target,
)
from quictunnel.errors import SettingsError

Kind = Literal["flag", "text", "texts", "path"]
"""Kinds of option: true or false, one value, several values, or the path of a file or folder."""

Value = bool | str | list[str]
"""A value as the command line has it: numbers are text."""

SERVICE = "service"
"""The key of the table that contains the services."""

_EXPECTED: Mapping[Kind, str] = {
    "flag": "true or false",
    "text": "a string or a whole number",
    "texts": "a string, a whole number or a list of them",
    "path": "a string with a path",
}

_SERVICE_KEYS: Mapping[str, Kind] = {"to": "text", "port": "text", "proxy-protocol": "text"}

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

    tables: Mapping[str, Mapping[str, str]] = field(repr=False)
    """The tables `[service.NAME]`, by name."""

    def services(self, proxy_protocol: ProxyProtocol = "off") -> tuple[ServiceSettings, ...]:
        """Return the services.

        :param proxy_protocol: the version for services whose table does not set one.
        :raises SettingsError: a value is invalid, or two services collide.
        """
        services = [
            _service(self.path, name, table, proxy_protocol) for name, table in self.tables.items()
        ]
        with _located(self.path):
            check_services(services)
        return tuple(services)


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
        raise SettingsError(f"{path}: not TOML: {reason[:1].lower()}{reason[1:]}") from None
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
    values: dict[str, Value] = {}
    for key, value in document.content.items():
        if key == SERVICE:
            continue
        if key not in keys:
            hint = _suggestion(key, keys) or "the keys are the command's options without '--'"
            raise SettingsError(f"{path}: unknown key {key!r}; {hint}")
        values[key] = _value(path, key, keys[key], value)
    return Config(path, values, _tables(path, document.content.get(SERVICE, {}), keys))


def _tables(path: Path, content: object, keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the tables `[service.NAME]`, with their values as text."""
    if not isinstance(content, dict):
        raise SettingsError(
            f"{path}: {SERVICE}: expected tables [{SERVICE}.NAME], found {_type_name(content)}"
        )
    tables: dict[str, dict[str, str]] = {}
    for name, table in content.items():
        place = f"{SERVICE}.{name}"
        if not isinstance(table, dict):
            raise SettingsError(
                f"{path}: {place}: expected a table, found {_type_name(table)}; write "
                f"[{SERVICE}.NAME] and the service's keys below it"
            )
        tables[name] = {}
        for key, value in table.items():
            if key not in _SERVICE_KEYS:
                hint = _service_hint(place, key, keys)
                raise SettingsError(f"{path}: unknown key '{place}.{key}'; {hint}")
            tables[name][key] = str(_value(path, f"{place}.{key}", _SERVICE_KEYS[key], value))
    return tables


def _service_hint(place: str, key: str, keys: Iterable[str]) -> str:
    if key in keys:
        # TOML assigns every key to the table above it.
        return f"write {key!r} above the first [{SERVICE}.NAME]"
    names = ", ".join(_SERVICE_KEYS)
    return _suggestion(key, _SERVICE_KEYS, f"{place}.") or f"a service has the keys {names}"


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
