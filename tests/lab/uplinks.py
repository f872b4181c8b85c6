"""Addresses in the laboratory: of the remote, and of the origin at each of its uplinks.

All of them are documentation addresses (RFC 5737, RFC 3849) or private ones.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

REMOTE_NAME = "remote.example.com"
"""The remote's host name. It has an address of either family."""

IPV6_NAME = "ipv6.example.com"
"""A name of the remote that has only its IPv6 address."""

OUTSIDE_PORT, LINK_PORT, SERVER_PORT, WEBSOCKET_PORT, PROXY_PORT = 9000, 9001, 8000, 443, 3128


@dataclass(frozen=True)
class Uplink:
    """A network device of a host, and the lines for `ip -batch` that configure it."""

    name: str
    address4: str
    address6: str
    outside: str = ""
    """The public address of its NAT router. Empty without NAT."""

    @property
    def outside_packed(self) -> bytes:
        return ipaddress.ip_address(self.outside).packed

    @property
    def packed6(self) -> bytes:
        return ipaddress.ip_address(self.address6).packed

    def rise(self) -> list[str]:
        """Bring the device up, without an address."""
        return [
            f"link set dev {self.name} addrgenmode none",
            f"link set dev {self.name} up",
        ]

    def join(self, family: int) -> list[str]:
        """Give the device an address of a family, and a default route."""
        if family == 4:
            address, everywhere = f"{self.address4}/24", "0.0.0.0/0"
        else:
            address, everywhere = f"{self.address6}/64", "::/0"
        return [
            f"address add {address} dev {self.name}" + " nodad" * (family == 6),
            f"route add {everywhere} dev {self.name}",
        ]

    def leave(self) -> list[str]:
        """Take the device down, and remove its addresses and routes."""
        return [f"link set dev {self.name} down", f"address flush dev {self.name}"]


REMOTE = Uplink("net", "203.0.113.7", "2001:db8:7::7")
WIFI = Uplink("wifi", "192.168.1.10", "2001:db8:a::10", "198.51.100.1")
MOBILE = Uplink("mobile", "10.64.0.10", "2001:db8:b::10", "192.0.2.1")
UPLINKS = (WIFI, MOBILE)
