"""An IP address and port with one canonical spelling. Resolves no names."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""First 12 bytes of an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2)."""


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a connection.

    The host is stored in its canonical text (RFC 5952), and an IPv4-mapped IPv6 address as IPv4.
    Equal places therefore compare equal.

    :raises ValueError: the host is not an IP address or has a scope, or the port is out of range.
    """

    host: str
    """An IPv4 or IPv6 address without brackets."""

    port: int
    """0 to 65535."""

    def __post_init__(self) -> None:
        """Check the port and make the host canonical."""
        if not 0 <= self.port <= 0xFFFF:
            raise ValueError(f"port out of range: {self.port}")
        _set(self, "host", _canonical(self.host))

    @classmethod
    def of(cls, sockaddr: tuple[Any, ...]) -> Address:
        """Return the address of an AF_INET or AF_INET6 socket address.

        The scope of a link-local address is dropped: it has no meaning on another machine.
        """
        host = sockaddr[0]
        if "%" in host:
            host = host.partition("%")[0]
        return _address(_canonical(host), sockaddr[1])

    @classmethod
    def unpack(cls, packed: bytes, port: int) -> Address:
        """Return the address of 4 or 16 bytes in network order and a valid port."""
        if len(packed) == 4:
            return _address(_unpack_ipv4(packed), port)
        return _address(_unpack_ipv6(packed), port)

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address. IPv4-mapped addresses are IPv4."""
        return ":" in self.host

    @property
    def packed(self) -> bytes:
        """The host in network order: 4 or 16 bytes."""
        return _pack(self.host)

    @property
    def packed_ipv6(self) -> bytes:
        """The host as a 16-byte IPv6 address in network order, IPv4-mapped if it is IPv4."""
        return self.packed if self.is_ipv6 else MAPPED_PREFIX + self.packed

    def __str__(self) -> str:
        """Return `192.0.2.1:80` or `[2001:db8::1]:80`."""
        host = self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


_set = object.__setattr__
_OCTETS = frozenset(map(str, range(256)))


def literal(sockaddr: tuple[Any, ...]) -> str:
    """Return the host of a socket address, with its scope (`%2`) if it has one.

    A link-local address needs its scope, the interface's index, to be reachable.
    """
    host: str = sockaddr[0].partition("%")[0]
    return f"{host}%{sockaddr[3]}" if len(sockaddr) == 4 and sockaddr[3] else host


def sockaddr_of(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the socket address of a host as `literal` returns it and a port."""
    host, _, scope = host.partition("%")
    return (host, port, 0, int(scope)) if scope else (host, port)


def _address(host: str, port: int) -> Address:
    """Return an address without checking it. Every client creates several."""
    address: Address = object.__new__(Address)
    _set(address, "host", host)
    _set(address, "port", port)
    return address


def _is_ipv4(host: str) -> bool:
    """Return whether this is a canonical IPv4 address."""
    octets = host.split(".", 4)
    return len(octets) == 4 and _OCTETS.issuperset(octets)


# Most addresses repeat: a browser opens several connections, and a proxy opens all of them. An
# entry takes about 200 bytes.
@lru_cache(maxsize=4096)
def _canonical(host: str) -> str:
    """Return the canonical text of an IP address.

    :raises ValueError: it is not an IP address, or has a scope.
    """
    if _is_ipv4(host):
        return host
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("a scope has no meaning on another machine")
        address = address.ipv4_mapped or address
    return str(address)


@lru_cache(maxsize=4096)
def _pack(host: str) -> bytes:
    if _is_ipv4(host):
        return bytes(map(int, host.split(".")))
    return ipaddress.ip_address(host).packed


def _unpack_ipv4(packed: bytes) -> str:
    a, b, c, d = packed
    return f"{a}.{b}.{c}.{d}"


@lru_cache(maxsize=4096)
def _unpack_ipv6(packed: bytes) -> str:
    """Return the canonical text of an IPv6 address.

    :raises ValueError: it is not 16 bytes long.
    """
    if packed.startswith(MAPPED_PREFIX) and len(packed) == 16:
        return _unpack_ipv4(packed[12:])
    return str(ipaddress.IPv6Address(packed))
