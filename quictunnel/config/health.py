"""Health checks: how an origin finds out whether the origin server of a service works."""

from __future__ import annotations

from dataclasses import dataclass

from quictunnel.config.units import format_duration
from quictunnel.config.urls import HttpUrl, parse_http_url
from quictunnel.errors import OutOfRange

TCP = "tcp"
"""The text of a check that only connects."""

_INTERVAL_RANGE = (0.1, 86_400.0)
_TIMEOUT_RANGE = (0.1, 3600.0)
_COUNT_RANGE = (1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How, and how often, an origin server is checked."""

    url: HttpUrl | None = None
    """The URL to request; None to connect to the origin server."""

    interval: float = 10.0
    """Seconds between two checks."""

    timeout: float = 5.0
    """Seconds that one check may take."""

    failures: int = 3
    """Failed checks in a row after which the server does not work."""

    successes: int = 1
    """Successful checks in a row after which it works again."""

    def __post_init__(self) -> None:
        """Check the numbers.

        :raises OutOfRange: one is out of its range.
        """
        for name, seconds, (least, most) in (
            ("check-interval", self.interval, _INTERVAL_RANGE),
            ("check-timeout", self.timeout, _TIMEOUT_RANGE),
        ):
            if not least <= seconds <= most:
                raise OutOfRange(
                    name,
                    f"must be between {format_duration(least)} and {format_duration(most)}, "
                    f"not {format_duration(seconds)}",
                )
        least, most = _COUNT_RANGE
        for name, count in (
            ("check-failures", self.failures),
            ("check-successes", self.successes),
        ):
            if not least <= count <= most:
                raise OutOfRange(name, f"must be from {least} to {most}, not {count}")


def parse_check(text: str) -> HttpUrl | None:
    """Parse `tcp`, which is None, or `http://localhost:8000/healthz`.

    :raises SettingsError: it is anything else.
    """
    if text == TCP:
        return None
    return parse_http_url(text, "a check", f"{TCP} or http://localhost:8000/healthz")
