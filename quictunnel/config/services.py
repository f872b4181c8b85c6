"""The services that an origin exposes, and how they are written: `[WHERE=]TARGET`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from quictunnel.config.addresses import HostPort, UnixPath, parse_origin
from quictunnel.config.health import HealthCheck
from quictunnel.config.host_names import EVERY_HOST
from quictunnel.config.hosts import (
    HOST_PROTOCOLS,
    HostName,
    HostProtocol,
    is_host,
    parse_host,
)
from quictunnel.config.policy import ACCEPT_ALL, Policy
from quictunnel.config.ports import AUTO, PortRange, parse_ports
from quictunnel.errors import SettingsError

ProxyProtocol = Literal["off", "v1", "v2"]
"""Versions of the PROXY protocol header that an origin can send."""

Share = Literal["single", "failover", "balance"]
"""How several origins serve one service: only one of them, the first available one, or all."""

DEFAULT_SERVICE = "default"
"""The name of the service at the remote's outside address."""

MAX_SERVICES = 1024
"""Services that one origin may expose. A range of ports is one service."""

_NAME = re.compile(r"[a-z0-9._-]{1,63}", re.ASCII)
_TWO_PORTS = re.compile(r"([0-9]+):([0-9]+)", re.ASCII)
_RANGE = re.compile(r"[0-9]+-[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefaults:
    """Values for services that have none of their own: the command's options."""

    proxy_protocol: ProxyProtocol = "off"
    """As in `ServiceSettings`."""

    share: Share = "single"
    """As in `ServiceSettings`."""

    sticky: bool = False
    """As in `ServiceSettings`, for services whose `share` is `balance`."""


NO_DEFAULTS = ServiceDefaults()
"""The defaults without options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """A service that an origin exposes."""

    target: HostPort | UnixPath
    """Address of the origin server; of the first one, for a range of ports."""

    name: str = DEFAULT_SERVICE
    """The service's name, in logs of both ends. An origin's services have different names."""

    ports: PortRange | None = None
    """The ports at the remote; None for the remote's outside address, or with a host name."""

    host: HostName | None = None
    """The host name by which clients reach it at the remote's shared listeners."""

    protocol: HostProtocol | None = None
    """The protocol of the clients of the host name; None for both protocols."""

    proxy_protocol: ProxyProtocol = "off"
    """PROXY protocol header that tells the origin server the client's address."""

    share: Share = "single"
    """How this origin and others with the same token serve the service."""

    sticky: bool = False
    """Whether the clients of one address get the same origin. It needs `share` to be `balance`."""

    policy: Policy = ACCEPT_ALL
    """The rules for its clients, in addition to those of the remote."""

    check: HealthCheck | None = None
    """How to check the origin server; None to assume that it works."""

    def __post_init__(self) -> None:
        """Check values and combinations.

        :raises SettingsError: one is invalid.
        """
        check_service_name(self.name)
        if self.ports is not None and self.host is not None:
            raise SettingsError("a service has a port or a host name, not both")
        if (self.name == DEFAULT_SERVICE) != (self.ports is None and self.host is None):
            raise SettingsError(
                f"the service {DEFAULT_SERVICE!r} is the one at the remote's outside address; "
                "a service has either this name, a port or a host name"
            )
        self._check_host()
        if self.proxy_protocol not in get_args(ProxyProtocol):
            raise SettingsError(f"{self.proxy_protocol!r} is not off, v1 or v2")
        self._check_share()
        if self.ports is not None and self.ports.size > 1:
            if isinstance(self.target, UnixPath):
                raise SettingsError(f"the ports {self.ports} need as many ports, not {self.target}")
            if self.target.port + self.ports.size - 1 > PortRange.HIGHEST:
                raise SettingsError(
                    f"the ports {self.ports} lead to ports above {PortRange.HIGHEST} "
                    f"of {self.target.host}"
                )

    def _check_host(self) -> None:
        if self.host is not None and parse_host(self.host) != self.host:
            raise SettingsError(f"{self.host!r} is not a host name in lower case")
        if self.protocol is not None:
            if self.host is None:
                raise SettingsError("only a service with a host name has a protocol")
            if self.protocol not in HOST_PROTOCOLS:
                raise SettingsError(f"{self.protocol!r} is not {' or '.join(HOST_PROTOCOLS)}")

    def _check_share(self) -> None:
        if self.share not in get_args(Share):
            raise SettingsError(f"{self.share!r} is not single, failover or balance")
        if self.sticky and self.share != "balance":
            raise SettingsError(f"'sticky' needs the share 'balance', not {self.share!r}")
        if self.share != "single" and self.ports == AUTO:
            raise SettingsError(
                f"the service {self.name!r} is at any free port, which cannot be shared; give it "
                "a port that all its origins name"
            )

    @property
    def server(self) -> str:
        """The origin server's address, with the last port too for a range: `localhost:80-89`."""
        if self.ports is None or self.ports.size == 1 or isinstance(self.target, UnixPath):
            return str(self.target)
        return f"{self.target}-{self.target.port + self.ports.size - 1}"

    @property
    def where(self) -> str:
        """The place at the remote, for messages: `port 2222`, `host www.example.com`."""
        if self.host is not None:
            return f"host {self.host}"
        return "the outside address" if self.ports is None else self.ports.where


def check_service_name(name: str) -> None:
    """Check that a service can have this name.

    :raises SettingsError: it is too long or empty, or has a character that names do not have.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} is not a service's name; use 1 to 63 of a-z 0-9 . _ -")


def parse_services(
    texts: Sequence[str], defaults: ServiceDefaults = NO_DEFAULTS
) -> tuple[ServiceSettings, ...]:
    """Parse services, each written `[WHERE=]TARGET`, and name them after their places.

    `8000` is a server at the remote's outside address, `2222=localhost:22` one at port 2222 of the
    remote, `auto=8000` one at any free port, `50000-50100=localhost:50000-50100` a range, and
    `www.example.com=8000` one that clients reach by its host name.

    :raises SettingsError: one is malformed, or two of them collide.
    """
    services: list[ServiceSettings] = []
    autos = 0
    for text in texts:
        where, target = _split(text.strip())
        _check_no_two_ports(text.strip())
        host = parse_host(where) if where is not None and is_host(where) else None
        ports = None if where is None or host is not None else _parse_where(where)
        name = DEFAULT_SERVICE if ports is None else str(ports)
        if ports == AUTO:
            autos += 1
            name = f"auto-{autos}"
        if host is not None:
            name = _name_of_host(host)
        services.append(
            ServiceSettings(
                name=name,
                ports=ports,
                host=host,
                target=parse_range_target(target, ports),
                proxy_protocol=defaults.proxy_protocol,
                share=defaults.share,
                sticky=defaults.sticky and defaults.share == "balance",
            )
        )
    check_services(services)
    return tuple(services)


def parse_range_target(text: str, ports: PortRange | None) -> HostPort | UnixPath:
    """Parse an origin server's address, which has as many ports as the service: `host:80-89`.

    :raises SettingsError: it is malformed, or the numbers of ports differ.
    """
    host, colon, last = text.rpartition(":")
    if not _RANGE.fullmatch(last) or text.startswith("unix:"):
        return parse_origin(text)
    own = parse_ports(last)
    if ports is None or own.size != ports.size:
        wanted = "one port" if ports is None or ports.size == 1 else f"{ports.size} ports"
        raise SettingsError(f"{text!r} has {own.size} ports, but the service has {wanted}")
    return parse_origin(f"{host}{colon}{own.first}")


def check_services(services: Sequence[ServiceSettings]) -> None:
    """Check that services do not collide.

    :raises SettingsError: two have the same name or share a place, or there are too many.
    """
    if len(services) > MAX_SERVICES:
        raise SettingsError(
            f"{len(services)} services, but an origin exposes {MAX_SERVICES} at most"
        )
    named: dict[str, ServiceSettings] = {}
    for service in services:
        if (other := named.get(service.name)) is not None:
            if other.where == service.where and service.ports != AUTO:
                own = "port" if service.host is None else "host name"
                raise SettingsError(
                    f"two services lead to {service.where}; give each its own {own}"
                )
            raise SettingsError(f"two services have the name {service.name!r}; rename one of them")
        named[service.name] = service
    ranges = [ports for s in services if (ports := s.ports) is not None and ports != AUTO]
    for lower, upper in pairwise(sorted(ranges, key=lambda ports: ports.first)):
        if lower.overlaps(upper):
            raise SettingsError(f"two services have port {upper.first}; give each its own port")
    _check_hosts(services)


def _check_hosts(services: Sequence[ServiceSettings]) -> None:
    by_host: dict[HostName, set[HostProtocol]] = {}
    for service in services:
        if service.host is None:
            continue
        used = by_host.setdefault(service.host, set())
        wanted = set(HOST_PROTOCOLS if service.protocol is None else (service.protocol,))
        if used & wanted:
            raise SettingsError(
                f"two services have host {service.host}; give each its own host name, or one of "
                'them protocol = "tls" and the other one protocol = "http"'
            )
        used |= wanted


def _split(text: str) -> tuple[str | None, str]:
    """Split `WHERE=TARGET`; `=` in the path of a Unix socket does not count."""
    where, equals, target = text.partition("=")
    if not equals or where.startswith("unix:"):
        return None, text
    return where, target


def _check_no_two_ports(text: str) -> None:
    """Check that a service is not written as other programs do, with a colon between two ports.

    :raises SettingsError: it is.
    """
    if match := _TWO_PORTS.fullmatch(text):
        raise SettingsError(
            f"{text!r} is not HOST:PORT; for a port at the remote, write "
            f"{match[1]}=localhost:{match[2]}"
        )


def _parse_where(where: str) -> PortRange:
    """Parse WHERE that is no host name.

    :raises SettingsError: it is no port either.
    """
    if where.strip()[:1].isdecimal() or where.strip() == "auto":
        return parse_ports(where)
    raise SettingsError(
        f"{where.strip()!r} is neither a port nor a host name with a dot; write 2222, 50000-50100, "
        "auto or www.example.com"
    )


def _name_of_host(host: HostName) -> str:
    """Return the name of a service that the command line defines by its host name.

    :raises SettingsError: the host name is too long for the name of a service.
    """
    name = host.replace(EVERY_HOST, "_")  # no name has an asterisk
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{host!r} is too long to be a service's name too; write the service as a table "
            "[service.NAME] of a configuration file"
        )
    return name
