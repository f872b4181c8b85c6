"""Finds services that probably lead back to the remote, when it runs on the origin's machine."""

from __future__ import annotations

from collections.abc import Iterator

from quictunnel.config.addresses import HostPort, is_this_machine
from quictunnel.config.ports import AUTO, PortRange
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings


def looping_services(settings: OriginSettings) -> Iterator[ServiceSettings]:
    """Return the services whose origin server has the same port as the service at the remote.

    Clients of such a service are forwarded to the remote again and again. It is not certain: the
    remote may listen on other addresses of this machine than the origin server.
    """
    if not is_this_machine(settings.remote.host):
        return
    for service in settings.services:
        ports, target = service.ports, service.target
        if ports is None or ports == AUTO or not isinstance(target, HostPort):
            continue
        own = PortRange(target.port, target.port + ports.size - 1)
        if own.overlaps(ports) and is_this_machine(target.host):
            yield service
