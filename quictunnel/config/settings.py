"""Settings of the two roles, with their defaults and limits.

Durations are in seconds and sizes in bytes.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from quictunnel.config.addresses import (
    EVERY_ADDRESS,
    HostPort,
    Network,
    check_admin,
    is_this_machine,
)
from quictunnel.config.admin_token import AdminToken
from quictunnel.config.certificates import FINGERPRINT_BYTES, load_authorities
from quictunnel.config.grants import Grant
from quictunnel.config.hosts import HostName
from quictunnel.config.policy import Place, Policy
from quictunnel.config.ports import PortRange
from quictunnel.config.proxies import Proxy
from quictunnel.config.services import ServiceSettings, check_services
from quictunnel.config.state import default_state_dir
from quictunnel.config.tokens import Token
from quictunnel.config.units import format_duration, format_size
from quictunnel.config.urls import WEBSOCKET_PATH, WEBSOCKET_PORTS, WebSocketUrl
from quictunnel.config.via import Via
from quictunnel.errors import OutOfRange, SettingsError

EngineName = Literal["auto", "aioquic", "quinn"]
"""QUIC engines. `auto` is the fastest one that is installed."""

Congestion = Literal["bbr", "cubic", "reno"]
"""Congestion controls, which every engine has."""

LINK_PORT = 9001
"""Default UDP port of links."""

LISTEN = HostPort(EVERY_ADDRESS, LINK_PORT)
"""Default address for origins (UDP)."""

OUTSIDE = HostPort(EVERY_ADDRESS, 9000)
"""Default address for clients (TCP)."""

LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
"""Networks of this machine itself."""

HOLD = 900.0
"""Default of `hold`, in seconds."""

LINGER = 300.0
"""Default of `linger`, in seconds."""

CLIENT_WAIT = 10.0
"""Default of `client_wait`, in seconds."""

CLIENT_KEEPALIVE = 60.0
"""Default of `client_keepalive`, in seconds."""

GRACE = 30.0
"""Default of `grace`, in seconds."""

UNREAD_LIMIT = 256 * 1024**2
"""Default of `unread_limit`, in bytes."""

_DAY = 86400.0
_HOLD_RANGE = (1.0, 7 * _DAY)  # at least some round trips; at most a week of memory per link
_LINGER_RANGE = (0.0, 7 * _DAY)
_CLIENT_WAIT_RANGE = (0.0, 3600.0)  # clients time out earlier than that
_KEEPALIVE_RANGE = (0.0, 7200.0)  # the default of most systems
_GRACE_RANGE = (0.0, _DAY)
_UNREAD_RANGE = (1024**2, 1024**4)  # at least a few streams' initial windows

_NAME = re.compile(r"[a-z0-9_.-]{1,63}", re.ASCII)


def machine_name() -> str:
    """Return this machine's host name up to the first dot, as a valid origin name."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower())
    return name.strip("-")[:63] or "origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """Settings of a remote."""

    listen: HostPort = LISTEN
    """UDP address for origins."""

    origins_from: tuple[Network, ...] = ()
    """Networks whose datagrams are accepted at `listen`. If empty, those of all networks are."""

    websocket: HostPort | None = None
    """TCP address for origins whose network blocks UDP; None for no such address."""

    websocket_path: str = WEBSOCKET_PATH
    """Path of the WebSocket's URL at that address."""

    outside: HostPort = OUTSIDE
    """TCP address for clients of the service `default`."""

    ports: tuple[PortRange, ...] = ()
    """TCP ports that origins may ask for, at the host of `outside`. None by default."""

    tls: HostPort | None = None
    """TCP address for TLS clients of host names, which their server name (SNI) tells apart."""

    http: HostPort | None = None
    """TCP address for HTTP/1.1 clients of host names, which the header `Host` tells apart."""

    sockets: Path | None = None
    """Directory with a Unix socket for each host name, for an HTTP proxy on this machine."""

    hosts: tuple[HostName, ...] = ()
    """Host names that origins may ask for. None by default."""

    cert: Path | None = None
    """PEM file with the certificate chain, the leaf first. It needs `key`."""

    key: Path | None = None
    """PEM file with the leaf's private key."""

    tokens: tuple[Token, ...] = ()
    """Tokens of accepted origins. If empty, the remote creates one and keeps it in `state_dir`."""

    grants: Mapping[str, Grant] = field(default_factory=dict)
    """The rights of tokens, by the token's id. Other tokens have `DEFAULT_GRANT`."""

    policies: Mapping[Place, Policy] = field(default_factory=dict)
    """The rules for clients, by the places that they are for."""

    accept_proxy_protocol: bool = False
    """Whether a proxy in front sends a PROXY protocol header before each client's bytes."""

    trusted_proxies: tuple[Network, ...] = LOOPBACK
    """Networks of proxies that are believed: their PROXY protocol headers for clients, and their
    `X-Forwarded-For` for origins that use a WebSocket."""

    hold: float = HOLD
    """Seconds that a silent link and its streams are kept."""

    linger: float = LINGER
    """Seconds that the second half of a connection may be idle after the first half has ended."""

    client_wait: float = CLIENT_WAIT
    """Seconds that a new client waits for an origin."""

    client_keepalive: float = CLIENT_KEEPALIVE
    """Idle seconds after which a client is probed. It is lost after three times as long; 0 for
    never."""

    grace: float = GRACE
    """Seconds that current clients have to finish when the remote drains."""

    state_dir: Path = field(default_factory=default_state_dir)
    """Directory of the token, certificate and reset key that the remote creates."""

    unread_limit: int = UNREAD_LIMIT
    """Bytes that all links together may hold received and unread."""

    admin: HostPort | None = None
    """TCP address of the admin interface; None for its Unix socket only."""

    admin_token: AdminToken | None = None
    """Token of the admin interface's TCP address. One that is not loopback needs it."""

    engine: EngineName = "auto"
    """QUIC engine. The role checks at its start whether it is installed."""

    congestion: Congestion | None = None
    """Congestion control of what this end sends; None for the engine's default."""

    def __post_init__(self) -> None:
        """Check values and combinations.

        :raises SettingsError: one is invalid.
        """
        _check_admin(self.admin, self.admin_token)
        if (self.cert is None) != (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise SettingsError(f"--{given} without --{missing}: give both or neither")
        counts = Counter(token.id for token in self.tokens)
        if twice := next((name for name, count in counts.items() if count > 1), None):
            raise SettingsError(f"two tokens have the id {twice}: give each its own id")
        _check_duration("linger", self.linger, _LINGER_RANGE)
        _check_duration("client-wait", self.client_wait, _CLIENT_WAIT_RANGE)
        _check_duration("client-keepalive", self.client_keepalive, _KEEPALIVE_RANGE)
        _check_common(self.hold, self.grace, self.unread_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """Settings of an origin."""

    remote: HostPort
    """UDP address of the remote."""

    services: tuple[ServiceSettings, ...]
    """The services that the origin exposes, at least one."""

    token: Token | None = None
    """Token that the remote accepts."""

    name: str = field(default_factory=machine_name)
    """The origin's name. The remote accepts one origin of the same token and name at a time."""

    take_over: bool = False
    """Whether the first link replaces that of another origin of this token and name."""

    ca: Path | None = None
    """PEM file with the authorities that may have signed the remote's certificate."""

    pin: bytes | None = None
    """SHA-256 of the only accepted certificate, in DER."""

    via: Via = Via.AUTO
    """The kinds of path that may carry the link."""

    websocket: WebSocketUrl | None = None
    """URL of the remote's WebSocket; None for the default one. See `websocket_url`."""

    proxy: Proxy | None = None
    """Proxy for the WebSocket; None for a direct connection."""

    websocket_ca: Path | None = None
    """PEM file with the authorities that must have signed the WebSocket's certificate."""

    insecure_websocket: bool = False
    """Whether the WebSocket's certificate is not even checked. Both ends prove themselves on the
    link inside it in any case."""

    hold: float = HOLD
    """Seconds that a silent link and its streams are kept."""

    linger: float = LINGER
    """Seconds that the second half of a connection may be idle after the first half has ended."""

    grace: float = GRACE
    """Seconds that current clients have to finish when the origin drains."""

    unread_limit: int = UNREAD_LIMIT
    """Bytes that the link may hold received and unread."""

    admin: HostPort | None = None
    """TCP address of the admin interface; None for its Unix socket only."""

    admin_token: AdminToken | None = None
    """Token of the admin interface's TCP address. One that is not loopback needs it."""

    engine: EngineName = "auto"
    """QUIC engine. The role checks at its start whether it is installed."""

    congestion: Congestion | None = None
    """Congestion control of what this end sends; None for the engine's default."""

    def __post_init__(self) -> None:
        """Check values and combinations.

        :raises SettingsError: one is invalid.
        """
        if not _NAME.fullmatch(self.name):
            raise SettingsError(f"{self.name!r} is not a name; use 1 to 63 of a-z 0-9 - _ .")
        if self.pin is not None and self.ca is not None:
            raise SettingsError("--pin and --ca are both given: use one of them")
        if self.pin is not None and len(self.pin) != FINGERPRINT_BYTES:
            raise SettingsError(f"a pin has {FINGERPRINT_BYTES} bytes, not {len(self.pin)}")
        if self.ca is not None:
            load_authorities(self.ca)
        self._check_websocket()
        _check_admin(self.admin, self.admin_token)
        if not self.services:
            raise SettingsError("an origin exposes one service at least")
        check_services(self.services)
        _check_duration("linger", self.linger, _LINGER_RANGE)
        _check_common(self.hold, self.grace, self.unread_limit)

    @property
    def websocket_url(self) -> WebSocketUrl | None:
        """The URL of the WebSocket that may carry the link; None if none may.

        By default, it is on port 443 of the remote's host. A remote on this machine has no default,
        because nothing blocks UDP to it.
        """
        if self.via is Via.UDP:
            return None
        if self.websocket is not None:
            return self.websocket
        if self.via is Via.AUTO and is_this_machine(self.remote.host):
            return None
        server = HostPort(self.remote.host, WEBSOCKET_PORTS["wss"])
        return WebSocketUrl("wss", server, WEBSOCKET_PATH)

    def _check_websocket(self) -> None:
        if self.websocket_ca is not None and self.insecure_websocket:
            raise SettingsError(
                "--websocket-ca and --insecure-websocket are both given: use one of them"
            )
        has_option = self.websocket_ca is not None or self.insecure_websocket
        if has_option and self.websocket is not None and self.websocket.scheme == "ws":
            option = "--insecure-websocket" if self.insecure_websocket else "--websocket-ca"
            raise SettingsError(
                f"{option} is for the certificate of a WebSocket, and {self.websocket} has none: "
                "write wss:// or leave the option out"
            )
        if self.websocket_ca is not None:
            load_authorities(self.websocket_ca)


def differences(
    old: RemoteSettings | OriginSettings, new: RemoteSettings | OriginSettings
) -> set[str]:
    """Return the names of the fields in which two settings of the same role differ."""
    return {each.name for each in fields(old) if getattr(old, each.name) != getattr(new, each.name)}


def _check_admin(listen: HostPort | None, token: AdminToken | None) -> None:
    if listen is None and token is not None:
        raise SettingsError("--admin-token is for the address of --admin, which is not given")
    if listen is not None and token is None:
        check_admin(listen)


def _check_common(hold: float, grace: float, unread_limit: int) -> None:
    _check_duration("hold", hold, _HOLD_RANGE)
    _check_duration("grace", grace, _GRACE_RANGE)
    least, most = _UNREAD_RANGE
    if not least <= unread_limit <= most:
        raise OutOfRange(
            "unread-limit",
            f"must be between {format_size(least)} and {format_size(most)}, "
            f"not {format_size(unread_limit)}",
        )


def _check_duration(key: str, seconds: float, bounds: tuple[float, float]) -> None:
    least, most = bounds
    if not least <= seconds <= most:
        raise OutOfRange(
            key,
            f"must be between {format_duration(least)} and {format_duration(most)}, "
            f"not {format_duration(seconds)}",
        )
