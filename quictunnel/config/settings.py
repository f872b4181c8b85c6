"""What a role is told: every setting, checked, with its default and its unit. No behaviour.

The command line builds these from options; tests and programs build them directly. All durations
are seconds, all sizes bytes.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from quictunnel.config.addresses import EVERY_ADDRESS, HostPort, Network, UnixPath
from quictunnel.config.certificates import FINGERPRINT_BYTES, load_authorities
from quictunnel.config.state import default_state_dir
from quictunnel.config.tokens import Token
from quictunnel.config.units import format_duration, format_size
from quictunnel.errors import SettingsError

ProxyProtocol = Literal["off", "v1", "v2"]

EngineName = Literal["auto", "aioquic", "quinn"]
"""The engines of a link; `auto` is the fastest that is installed."""

Congestion = Literal["bbr", "cubic", "reno"]
"""The congestion controls that each engine has."""

LINK_PORT = 9001
"""The UDP port of a link, where none is given."""

DEFAULT_SERVICE = "default"
"""The name of the one service that the settings of a role describe."""

LISTEN = HostPort(EVERY_ADDRESS, LINK_PORT)
OUTSIDE = HostPort(EVERY_ADDRESS, 9000)

LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
"""The networks of this machine itself."""

HOLD = 900.0
LINGER = 300.0
CLIENT_WAIT = 10.0
GRACE = 30.0
UNREAD_LIMIT = 256 * 1024**2

_DAY = 86400.0
_HOLD_RANGE = (1.0, 7 * _DAY)  # a link needs a round trip or two; a week bounds what is kept
_LINGER_RANGE = (0.0, 7 * _DAY)
_CLIENT_WAIT_RANGE = (0.0, 3600.0)  # no client waits longer by itself
_GRACE_RANGE = (0.0, _DAY)
_UNREAD_RANGE = (1024**2, 1024**4)  # two streams' first windows at least

_NAME = re.compile(r"[a-z0-9_.-]{1,63}", re.ASCII)


def machine_name() -> str:
    """Return this machine's host name, up to its first dot, as an origin's name may be."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower())
    return name.strip("-")[:63] or "origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """What a remote is told."""

    listen: HostPort = LISTEN
    """Where origins reach it (UDP)."""

    outside: HostPort = OUTSIDE
    """Where clients reach it (TCP)."""

    cert: Path | None = None
    """A PEM file with the certificate chain, the leaf first; with `key`, or neither."""

    key: Path | None = None
    """A PEM file with the leaf's private key."""

    tokens: tuple[Token, ...] = ()
    """The tokens of origins that may come; none: one is made and kept in `state_dir`."""

    accept_proxy_protocol: bool = False
    """Whether trusted proxies in front send a PROXY protocol header before a client's bytes."""

    trusted_proxies: tuple[Network, ...] = LOOPBACK
    """Who may send such a header."""

    hold: float = HOLD
    """How long a silent link, and every stream on it, is kept alive."""

    linger: float = LINGER
    """How long the second half of a client's connection may be quiet after the first ended."""

    client_wait: float = CLIENT_WAIT
    """How long a new client waits for an origin."""

    grace: float = GRACE
    """How long present clients may go on once the remote drains."""

    state_dir: Path = field(default_factory=default_state_dir)
    """Where the token, certificate and key of resets that the remote made itself are kept."""

    unread_limit: int = UNREAD_LIMIT
    """What the process may hold of bytes that nobody has taken yet."""

    engine: EngineName = "auto"
    """The QUIC engine that carries the link; whether it is installed is seen when a role starts."""

    congestion: Congestion | None = None
    """The congestion control of what this end sends; None leaves it to the engine."""

    def __post_init__(self) -> None:
        """Check what belongs together.

        :raises SettingsError: with one sentence.
        """
        if (self.cert is None) != (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise SettingsError(f"a {given} is given without a {missing}: give both or neither")
        ids = [token.id for token in self.tokens]
        if twice := next((name for name in ids if ids.count(name) > 1), None):
            raise SettingsError(f"two tokens have the id {twice}: each needs its own")
        _check_duration("linger", self.linger, _LINGER_RANGE)
        _check_duration("client wait", self.client_wait, _CLIENT_WAIT_RANGE)
        _check_common(self.hold, self.grace, self.unread_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """What an origin is told."""

    remote: HostPort
    """Where the remote is (UDP)."""

    origin: HostPort | UnixPath
    """Where the origin server is."""

    token: Token | None = None
    """The token that the remote knows."""

    name: str = field(default_factory=machine_name)
    """Which of the token's origins this is; the same again takes the place of the one before."""

    ca: Path | None = None
    """A PEM file with the authorities that may vouch for the remote's certificate."""

    pin: bytes | None = None
    """The SHA-256 of the remote's certificate (DER): no other is accepted."""

    proxy_protocol: ProxyProtocol = "off"
    """The PROXY protocol header that tells the origin server who the client is."""

    hold: float = HOLD
    """How long a silent link, and every stream on it, is kept alive."""

    linger: float = LINGER
    """How long the second half of a client's connection may be quiet after the first ended."""

    grace: float = GRACE
    """How long present clients may go on once the origin drains."""

    unread_limit: int = UNREAD_LIMIT
    """What the process may hold of bytes that nobody has taken yet."""

    engine: EngineName = "auto"
    """The QUIC engine that carries the link; whether it is installed is seen when a role starts."""

    congestion: Congestion | None = None
    """The congestion control of what this end sends; None leaves it to the engine."""

    def __post_init__(self) -> None:
        """Check what belongs together.

        :raises SettingsError: with one sentence.
        """
        if not _NAME.fullmatch(self.name):
            raise SettingsError(
                f"{self.name!r} is not a name: 1 to 63 characters out of a-z 0-9 - _ ."
            )
        if self.pin is not None and self.ca is not None:
            raise SettingsError("a pin and a CA file are given: one of the two must decide")
        if self.pin is not None and len(self.pin) != FINGERPRINT_BYTES:
            raise SettingsError(f"a pin has {FINGERPRINT_BYTES} bytes, not {len(self.pin)}")
        if self.ca is not None:
            load_authorities(self.ca)
        if self.proxy_protocol not in get_args(ProxyProtocol):
            raise SettingsError(f"{self.proxy_protocol!r} is not a PROXY protocol: off, v1 or v2")
        _check_duration("linger", self.linger, _LINGER_RANGE)
        _check_common(self.hold, self.grace, self.unread_limit)


def _check_common(hold: float, grace: float, unread_limit: int) -> None:
    _check_duration("hold", hold, _HOLD_RANGE)
    _check_duration("grace", grace, _GRACE_RANGE)
    least, most = _UNREAD_RANGE
    if not least <= unread_limit <= most:
        raise SettingsError(
            f"the unread limit must lie between {format_size(least)} and {format_size(most)}, "
            f"not {format_size(unread_limit)}"
        )


def _check_duration(what: str, seconds: float, bounds: tuple[float, float]) -> None:
    least, most = bounds
    if not least <= seconds <= most:
        raise SettingsError(
            f"the {what} must lie between {format_duration(least)} and {format_duration(most)}, "
            f"not {format_duration(seconds)}"
        )
