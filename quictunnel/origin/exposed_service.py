"""A service that the origin exposes: what it asks the remote for, and its origin servers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from quictunnel.config.addresses import HostPort
from quictunnel.config.ports import AUTO
from quictunnel.config.services import ServiceSettings
from quictunnel.origin.upstream import Upstream
from quictunnel.protocol.messages import Service
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proxy_v1 import encode_v1
from quictunnel.session.gate import Gate

HEADER_ENCODERS: dict[str, Callable[[Preamble], bytes]] = {
    "off": lambda _: b"",
    "v1": encode_v1,
    "v2": encode_v2,
}
"""The encoders of the header that tells an origin server the client's address."""


class ExposedService:
    """One service. A range of ports has an origin server for each port.

    :param before: the service whose settings these replace; None for a new one. Its clients count
        towards the limits.
    """

    def __init__(self, settings: ServiceSettings, before: ExposedService | None = None) -> None:
        self.settings = settings
        """The settings, which do not change."""
        if before is None:
            self.gate = Gate(settings.policy, time.monotonic, f"the service {settings.name}")
        else:
            self.gate = before.gate
            self.gate.apply(settings.policy)
        self._encode_header = HEADER_ENCODERS[settings.proxy_protocol]
        self._upstreams: dict[int, Upstream] = {}

    @cached_property
    def request(self) -> Service:
        """The request to the remote, part of the hello."""
        settings, ports = self.settings, self.settings.ports
        is_range = ports is not None and ports.size > 1
        return Service(
            name=settings.name,
            port=None if ports is None or is_range else ports.first,
            ports=str(ports) if is_range else None,
            host=settings.host,
            protocol=settings.protocol,
            share=None if settings.share == "single" else settings.share,
            sticky=settings.sticky,
        )

    def upstream(self, preamble: Preamble) -> Upstream | None:
        """Return the origin server for a client; None if it came to a port beyond the range."""
        ports, offset = self.settings.ports, 0
        if ports is not None and ports != AUTO and ports.size > 1:
            outside = preamble.outside
            if outside is None or not ports.first <= outside.port <= ports.last:
                return None
            offset = outside.port - ports.first
        if offset not in self._upstreams:
            target = self.settings.target
            if offset and isinstance(target, HostPort):
                target = replace(target, port=target.port + offset)
            self._upstreams[offset] = Upstream(target)
        return self._upstreams[offset]

    def header(self, preamble: Preamble) -> bytes:
        """Return the bytes that precede the client's: a PROXY protocol header, or nothing."""
        return self._encode_header(preamble)
