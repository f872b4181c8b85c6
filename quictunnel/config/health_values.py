"""The health check of a service in an origin's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quictunnel.config.health import HealthCheck, parse_check
from quictunnel.config.units import parse_duration
from quictunnel.config.values import Kind, Table, located, table_located
from quictunnel.errors import SettingsError

CHECK = "check"
"""The key that turns the check on."""

HEALTH_KEYS: Mapping[str, Kind] = {
    CHECK: "text",
    "check-interval": "text",
    "check-timeout": "text",
    "check-failures": "text",
    "check-successes": "text",
}
"""The keys of a health check, in the table of its service."""

_MAX_DIGITS = 9


def read_check(place: str, table: Table) -> HealthCheck | None:
    """Return the health check of a service's table; None if it has none.

    :param place: the file and the table, for errors.
    :raises SettingsError: a value is invalid, or `check` is missing.
    """
    given = [key for key in HEALTH_KEYS if key in table]
    if not given:
        return None
    if CHECK not in table:
        raise SettingsError(
            f'{place}: {given[0]!r} needs {CHECK!r}, such as check = "tcp" or '
            'check = "http://localhost:8000/healthz"'
        )
    values: dict[str, Any] = {}
    for key in given:
        with located(f"{place}.{key}"):
            values[key] = _value(key, str(table[key]))
    with table_located(place):
        return HealthCheck(
            url=values.pop(CHECK),
            **{key.removeprefix("check-"): value for key, value in values.items()},
        )


def _value(key: str, text: str) -> object:
    if key == CHECK:
        return parse_check(text)
    if key in ("check-interval", "check-timeout"):
        return parse_duration(text)
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise SettingsError(f"{text!r} is not a number of checks")
    return int(text)
