"""Parses and formats durations, sizes and rates, such as `15m`, `256MiB` and `10Mbit`."""

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

_PREFIXES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_BINARY_PREFIXES = {"k": 1024, "m": 1024**2, "g": 1024**3}
_RATE = re.compile(
    # Case matters only in the B of bytes: "Mb" could mean either.
    r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kKmMgG]?)(?:bit|Bit)|([kKmMgG]?)B|([kKmMgG])iB)(?:/s)?",
    re.ASCII,
)

_MAX_TEXT = 32
"""Characters of a duration, size or rate. Converting long digit strings is slow."""


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


def parse_rate(text: str) -> int:
    """Return the bytes per second of `10Mbit` (a million bits), `1.25MB` or `512KiB`.

    `/s` may follow. A unit is required, because a plain number could mean bits or bytes.

    :raises SettingsError: it is anything else.
    """
    match = _RATE.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise SettingsError(
            f"{text!r} is not a rate; write for example 10Mbit for bits per second, or 1.25MB for "
            "bytes per second"
        )
    number, bits, decimal, binary = match.groups()
    if bits is not None:
        return int(float(number) * _PREFIXES[bits.lower()] / 8)
    if decimal is not None:
        return int(float(number) * _PREFIXES[decimal.lower()])
    return int(float(number) * _BINARY_PREFIXES[binary.lower()])


def format_rate(rate: int) -> str:
    """Return text that `parse_rate` reads back exactly: bits per second, in the largest unit.

    :param rate: bytes per second.
    """
    bits = rate * 8
    for unit, factor in (("Gbit", 1000**3), ("Mbit", 1000**2), ("kbit", 1000)):
        if bits and bits % factor == 0:
            return f"{bits // factor}{unit}"
    return f"{bits}bit"
