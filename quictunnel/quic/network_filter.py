"""Decides by network whose datagrams are accepted."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from quictunnel.protocol.address import Address

if TYPE_CHECKING:
    from quictunnel.config.networks import NetworkSet

_CACHED_HOSTS = 4096
"""Hosts whose decision is remembered, some 400 kB. Datagrams come from few hosts, except in a flood
with forged addresses."""


class NetworkFilter:
    """Accepts the hosts of some networks.

    :param networks: at least one.
    """

    def __init__(self, networks: NetworkSet) -> None:
        self._networks = networks
        self.accepts = lru_cache(_CACHED_HOSTS)(self._accepts)
        """Returns whether a host is accepted, given as in `engine.Path`."""

    def _accepts(self, host: str) -> bool:
        return ipaddress.ip_address(Address.of((host, 0)).host) in self._networks
