"""The tables `[service.NAME]` of an origin's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from quictunnel.config.health_values import HEALTH_KEYS, read_check
from quictunnel.config.hosts import parse_host, parse_host_protocol
from quictunnel.config.policy_values import POLICY_KEYS, read_policy
from quictunnel.config.ports import parse_ports
from quictunnel.config.services import (
    DEFAULT_SERVICE,
    ProxyProtocol,
    ServiceDefaults,
    ServiceSettings,
    Share,
    check_service_name,
    check_services,
    parse_range_target,
)
from quictunnel.config.values import Kind, Table, located
from quictunnel.errors import SettingsError

SERVICE = "service"
"""The key of the table that contains the services."""

SERVICE_KEYS: Mapping[str, Kind] = {
    "to": "text",
    "port": "text",
    "host": "text",
    "protocol": "text",
    "proxy-protocol": "text",
    "share": "text",
    "sticky": "flag",
    **POLICY_KEYS,
    **HEALTH_KEYS,
}
"""The keys of a service. It has those of a policy, because the origin can narrow the remote's."""


def read_services(
    path: Path, tables: Mapping[str, Table], defaults: ServiceDefaults
) -> tuple[ServiceSettings, ...]:
    """Return the services of tables.

    :param path: the file, for errors.
    :param defaults: the values for services whose table does not set them.
    :raises SettingsError: a value is invalid, or two services collide.
    """
    services = [_service(path, name, table, defaults) for name, table in tables.items()]
    with located(path):
        check_services(services)
    return tuple(services)


def _service(path: Path, name: str, table: Table, defaults: ServiceDefaults) -> ServiceSettings:
    """Return the service of a table.

    :raises SettingsError: a value is invalid, or `to` is missing.
    """
    place = f"{path}: {SERVICE}.{name}"
    if "to" not in table:
        raise SettingsError(
            f"{place}: 'to' is missing; it is the origin server's address, such as "
            'to = "localhost:22"'
        )
    with located(place):
        check_service_name(name)
    ports = None
    if "port" in table:
        with located(f"{place}.port"):
            ports = parse_ports(str(table["port"]))
    host = protocol = None
    if "host" in table:
        with located(f"{place}.host"):
            host = parse_host(str(table["host"]))
    if "protocol" in table:
        with located(f"{place}.protocol"):
            protocol = parse_host_protocol(str(table["protocol"]))
    with located(f"{place}.to"):
        target = parse_range_target(str(table["to"]), ports)
    proxy_protocol, share = defaults.proxy_protocol, defaults.share
    if "proxy-protocol" in table:
        with located(f"{place}.proxy-protocol"):
            proxy_protocol = _proxy_protocol(str(table["proxy-protocol"]))
    if "share" in table:
        with located(f"{place}.share"):
            share = _share(str(table["share"]))
    sticky = bool(table.get("sticky", defaults.sticky and share == "balance"))
    policy = read_policy(place, table)
    check = read_check(place, table)
    with located(place):
        return ServiceSettings(
            # Both ends know the service at the outside address by its own name.
            name=DEFAULT_SERVICE if ports is None and host is None else name,
            ports=ports,
            host=host,
            protocol=protocol,
            target=target,
            proxy_protocol=proxy_protocol,
            policy=policy,
            check=check,
            share=share,
            sticky=sticky,
        )


def _proxy_protocol(text: str) -> ProxyProtocol:
    for version in get_args(ProxyProtocol):
        if text == version:
            return version  # type: ignore[no-any-return] # get_args has no types
    raise SettingsError(f"{text!r} is not off, v1 or v2")


def _share(text: str) -> Share:
    for share in get_args(Share):
        if text == share:
            return share  # type: ignore[no-any-return] # get_args has no types
    raise SettingsError(f"{text!r} is not single, failover or balance")
