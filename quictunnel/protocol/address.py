"""An IP address and a port, as one fact with one spelling. No names, no lookups, no sockets."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""The first twelve bytes of an IPv6 address that stands for an IPv4 one (RFC 4291, 2.5.5.2)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one end of a connection is.

    Two addresses that mean the same place are equal, whatever they were written like: the host is
    kept in its canonical text (RFC 5952), and an IPv6 address that stands for an IPv4 one is kept
    as the latter.

    Raises ValueError for a host that is no IP address, or has a scope, and for a port out of range.
    """

    host: str
    """An IPv4 or IPv6 address, without brackets."""

    port: int
    """From 0 to 65535."""

    def __post_init__(self) -> None:
        """Bring the host into its one spelling."""
        if not 0 <= self.port <= 0xFFFF:
            raise ValueError(f"port out of range: {self.port}")
        _set(self, "host", _one_spelling(self.host))

    @classmethod
    def of(cls, sockaddr: tuple[Any, ...]) -> Address:
        """Return the address that a socket of family AF_INET or AF_INET6 gave.

        A link-local address loses its scope, which has no meaning beyond this machine.
        """
        host = sockaddr[0]
        if "%" in host:
            host = host.partition("%")[0]
        return _address(_one_spelling(host), sockaddr[1])

    @classmethod
    def unpack(cls, packed: bytes, port: int) -> Address:
        """Return the address of 4 or 16 bytes in network order, and a port in range."""
        if len(packed) == 4:
            return _address(_unpack_ipv4(packed), port)
        return _address(_unpack_ipv6(packed), port)

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address, and not one that stands for an IPv4 one."""
        return ":" in self.host

    @property
    def packed(self) -> bytes:
        """The host in network order: 4 bytes, or 16."""
        return _pack(self.host)

    @property
    def packed_ipv6(self) -> bytes:
        """The host in network order as an IPv6 address: 16 bytes, mapped where it is IPv4."""
        return self.packed if self.is_ipv6 else MAPPED_PREFIX + self.packed

    def __str__(self) -> str:
        """Return `192.0.2.1:80` or `[2001:db8::1]:80`."""
        host = self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


_set = object.__setattr__
_OCTETS = frozenset(map(str, range(256)))


def literal(sockaddr: tuple[Any, ...]) -> str:
    """Return the host that a socket or the resolver gave, with its scope where it has one.

    An address that is link-local says by its scope on which of this machine's links it is: `%`, and
    the interface's number. Without it nothing can be sent there.
    """
    host: str = sockaddr[0].partition("%")[0]
    return f"{host}%{sockaddr[3]}" if len(sockaddr) == 4 and sockaddr[3] else host


def sockaddr_of(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return what sockets take for the host that `literal` gave, and a port."""
    host, _, scope = host.partition("%")
    return (host, port, 0, int(scope)) if scope else (host, port)


def _address(host: str, port: int) -> Address:
    """Return an address that is known to be right: each client has some, and checks cost."""
    address: Address = object.__new__(Address)
    _set(address, "host", host)
    _set(address, "port", port)
    return address


def _is_ipv4(host: str) -> bool:
    """Return whether this is the one spelling of an IPv4 address."""
    octets = host.split(".", 4)
    return len(octets) == 4 and _OCTETS.issuperset(octets)


# Few clients come once: browsers open several connections, and a proxy's address is looked at all
# the time. An entry is some 200 bytes.
@lru_cache(maxsize=4096)
def _one_spelling(host: str) -> str:
    """Return the canonical text of an IP address.

    :raises ValueError: it is none, or has a scope.
    """
    if _is_ipv4(host):
        return host
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("a scope means nothing to another machine")
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
    """Return the one spelling of 16 bytes.

    :raises ValueError: they are more, or less.
    """
    if packed.startswith(MAPPED_PREFIX) and len(packed) == 16:
        return _unpack_ipv4(packed[12:])
    return str(ipaddress.IPv6Address(packed))
