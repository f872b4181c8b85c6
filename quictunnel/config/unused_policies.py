"""Finds policies that no client can meet, most often because of a typing error in their place."""

from __future__ import annotations

from collections.abc import Iterator

from quictunnel.config.host_names import covers
from quictunnel.config.hosts import HostName
from quictunnel.config.ports import PortRange
from quictunnel.config.settings import RemoteSettings


def unused_policies(settings: RemoteSettings) -> dict[str, str]:
    """Return the policies whose place no service can have, each with the reason.

    :param settings: the remote's settings, with the rights of all accepted tokens.
    :return: by the place as it is written in the configuration file.
    """
    reasons: dict[str, str] = {}
    for place in settings.policies:
        if place is None:
            continue  # every remote has an outside address
        if isinstance(place, PortRange):
            reason = _reason_for_ports(place, settings)
        else:
            reason = _reason_for_host(place, settings)
        if reason is not None:
            reasons[str(place)] = reason
    return reasons


def _reason_for_ports(ports: PortRange, settings: RemoteSettings) -> str | None:
    if any(ports.overlaps(allowed) for allowed in _allowed_ports(settings)):
        return None
    what = ports.where if ports.size == 1 else f"any of the {ports.where}"
    return f"neither 'ports' nor a token allows {what}"


def _reason_for_host(host: HostName, settings: RemoteSettings) -> str | None:
    if settings.tls is None and settings.http is None and settings.sockets is None:
        return "the remote has none of the keys 'tls', 'http' and 'sockets'"
    # Two patterns have a name in common only if one of them covers the other.
    if any(covers(host, allowed) or covers(allowed, host) for allowed in _allowed_hosts(settings)):
        return None
    return f"neither 'hosts' nor a token allows host {host}"


def _allowed_ports(settings: RemoteSettings) -> Iterator[PortRange]:
    yield from settings.ports
    for grant in settings.grants.values():
        yield from grant.ports or ()


def _allowed_hosts(settings: RemoteSettings) -> Iterator[HostName]:
    yield from settings.hosts
    for grant in settings.grants.values():
        yield from grant.hosts or ()
