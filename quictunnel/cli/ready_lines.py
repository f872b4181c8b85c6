"""The lines `ready` of an origin: where clients reach each of its services."""

from __future__ import annotations

from collections.abc import Sequence

from quictunnel.config.services import ServiceSettings
from quictunnel.events import GrantedService, ServicesGranted

WILDCARDS = ("[::]", "0.0.0.0")
"""Hosts of an outside address that mean every address of the remote's machine."""

MAX_REPEATED = 16
"""Lines that are printed again for a new link. Of more services, one line gives the number."""


class ReadyLines:
    """Formats the services that a remote has granted, one line for each that is new or has changed.

    :param remote_host: the remote's host, as the user knows it.
    :param services: the exposed services. The list changes when the configuration does.
    """

    def __init__(self, remote_host: str, services: Sequence[ServiceSettings]) -> None:
        self._remote_host = remote_host
        self._services = services
        self._lines: dict[str, str] = {}  # by the name of the service

    def __call__(self, event: ServicesGranted) -> list[str]:
        """Return the lines to print."""
        servers = {service.name: service.server for service in self._services}
        lines: dict[str, str] = {}
        for granted in event.services:
            if (server := servers.get(granted.name)) is not None:
                where = self._outside(granted)
                lines[granted.name] = f"ready: {where} at the remote -> {server}"
        known, self._lines = self._lines, lines
        changed = [line for name, line in lines.items() if known.get(name) != line]
        if not event.is_first:
            return changed
        # A link was lost before, so the user wants to know of the other services too.
        repeated = len(lines) - len(changed)
        if repeated <= MAX_REPEATED:
            return list(lines.values())
        return [*changed, f"ready: {repeated} services at the remote, as before"]

    def _outside(self, service: GrantedService) -> str:
        """Return a service's outside address, with the remote's name in place of a wildcard."""
        address = service.address or service.name
        host, _, port = address.rpartition(":")
        if host not in WILDCARDS or not port.replace("-", "", 1).isdecimal():
            return address
        remote = f"[{self._remote_host}]" if ":" in self._remote_host else self._remote_host
        return f"{remote}:{port}"
