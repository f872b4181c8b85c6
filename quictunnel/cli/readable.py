"""Formats numbers, times and paths for people. Scripts read the exact numbers with --json."""

from __future__ import annotations

from quictunnel.config.units import format_duration
from quictunnel.events import PathKind

NOTHING = "-"
"""Stands for a value that is not known, or that does not exist."""

_STEPS = ("", "k", "M", "G", "T", "P")

_MOST = 10**30
"""The largest number that is shown. Only a role that does not tell the truth has a larger one."""

_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 client` or `3 clients`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def path_name(path: PathKind) -> str:
    """Return the kind of a link's path, as in `the link continues over UDP`."""
    return {PathKind.UDP: "UDP", PathKind.WEBSOCKET: "a WebSocket"}[path]


def readable_size(count: int) -> str:
    """Return a number of bytes with three digits, such as `1.25 MB`."""
    return f"{_scaled(count)}B"


def readable_rate(bytes_per_second: float) -> str:
    """Return a rate in bits with three digits, such as `1.25 Mbit/s`, or `-` for 0."""
    bits = round(min(bytes_per_second * 8, _MOST))
    return f"{_scaled(bits)}bit/s" if bits else NOTHING


def readable_duration(seconds: float) -> str:
    """Return a duration with its two largest units, such as `3d4h` or `45s`."""
    whole = int(min(seconds, _MOST))
    if whole >= _DAY:
        whole -= whole % _HOUR
    elif whole >= _HOUR:
        whole -= whole % _MINUTE
    return format_duration(whole)


def readable_time(seconds: float | None) -> str:
    """Return a time in milliseconds, such as `23 ms` or `1.25 ms`; from ten seconds in seconds."""
    if seconds is None:
        return NOTHING
    if seconds >= 10:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    digits = 0 if milliseconds >= 10 else 1 if milliseconds >= 1 else 2
    return f"{milliseconds:.{digits}f} ms"


def readable_share(part: float, whole: float) -> str:
    """Return a part in per cent, such as `0.4 %`; `-` without a whole."""
    if whole <= 0:
        return NOTHING
    percent = part / whole * 100
    if percent == 0:
        return "0 %"
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def _scaled(number: int) -> str:
    """Return a number with at most three digits and a decimal prefix, and a space between."""
    value = float(min(number, _MOST))
    step = 0
    while value >= 999.5 and step < len(_STEPS) - 1:
        value /= 1000
        step += 1
    digits = 0 if step == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_STEPS[step]}"
