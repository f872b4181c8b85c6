"""Parses and formats durations and sizes, such as `15m` and `256MiB`."""

from __future__ import annotations

import re

from quictunnel.errors import SettingsError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", re.ASCII)
_PLAIN_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)

_BYTES = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    # Most programs mean powers of 1024 by a single letter.
    "k": 1024,
    "m": 1024**2,
    "g": 1024**3,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)

_MAX_TEXT = 32
"""Characters of a duration or size. Converting long digit strings is slow."""


def parse_duration(text: str) -> float:
    """Return the seconds of `15m`, `1h30m`, `500ms` or `2.5s`. A plain number is seconds.

    :raises SettingsError: it is anything else.
    """
    compact = text.strip().lower()
    if len(compact) <= _MAX_TEXT:
        if is_plain_number(compact):
            return float(compact)
        parts = _DURATION_PART.findall(compact)
        units = [unit for _, unit in parts]
        whole = "".join(number + unit for number, unit in parts) == compact
        # Units must descend and not repeat: 30m1h is more likely a typing error.
        if parts and whole and units == sorted(set(units), key=_SECONDS.__getitem__, reverse=True):
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    raise SettingsError(f"{text!r} is not a duration; write for example 30s, 15m or 1h30m")


def is_plain_number(text: str) -> bool:
    """Return whether a duration has no unit."""
    return _PLAIN_NUMBER.fullmatch(text.strip()) is not None


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads back, in milliseconds at best."""
    left = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_SECONDS[unit] * 1000))
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def parse_size(text: str) -> int:
    """Return the bytes of `256MiB`, `1.5GiB`, `64k` (65,536), `10MB` (decimal) or `4096`.

    :raises SettingsError: it is anything else.
    """
    match = _SIZE.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    factor = _BYTES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise SettingsError(f"{text!r} is not a size; write for example 64KiB, 256MiB or 1GiB")
    return int(float(match[1]) * factor)


def format_size(count: int) -> str:
    """Return text that `parse_size` reads back exactly, in the largest possible unit."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)
