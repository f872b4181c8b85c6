"""IPv4 packets with UDP or ICMP in them: made and read. No I/O."""

from __future__ import annotations

import struct
from typing import NamedTuple

ICMP, UDP = 1, 17

UNREACHABLE = 3
"""The ICMP type of errors about packets that did not arrive (RFC 792)."""

PORT_UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
"""ICMP codes of that type."""

HOPS = 64

_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ICMP = struct.Struct("!BBHHH")

HEADERS = _IP.size + _UDP.size
"""Bytes of the headers of a UDP datagram."""


class UdpAddress(NamedTuple):
    """An IPv4 address, as four bytes, and a UDP port."""

    address: bytes
    port: int


class Received(NamedTuple):
    """A UDP datagram."""

    source: UdpAddress
    target: UdpAddress
    data: bytes


def udp(source: UdpAddress, target: UdpAddress, data: bytes) -> bytes:
    """Return a packet with a datagram. It has no UDP checksum (RFC 768)."""
    size = _UDP.size + len(data)
    ports = _UDP.pack(source.port, target.port, size, 0)
    return _header(source.address, target.address, UDP, size) + ports + data


def read_udp(packet: bytes) -> Received | None:
    """Return the datagram of a packet, or None if it has none."""
    if len(packet) < HEADERS or packet[0] != 0x45 or packet[9] != UDP:
        return None
    source_port: int
    target_port: int
    source_port, target_port, _, _ = _UDP.unpack_from(packet, _IP.size)
    source = UdpAddress(packet[12:16], source_port)
    return Received(source, UdpAddress(packet[16:20], target_port), packet[HEADERS:])


def unreachable(
    router: bytes, code: int, source: UdpAddress, target: UdpAddress, *, mtu: int = 0
) -> bytes:
    """Return an ICMP error of a router about a datagram that `source` has sent to `target`."""
    quoted = _header(source.address, target.address, UDP, _UDP.size + 1200)
    quoted += _UDP.pack(source.port, target.port, _UDP.size + 1200, 0)
    blank = _ICMP.pack(UNREACHABLE, code, 0, 0, mtu) + quoted
    error = _ICMP.pack(UNREACHABLE, code, checksum(blank), 0, mtu) + quoted
    return _header(router, source.address, ICMP, len(error)) + error


def checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071. The size of the data is even."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _header(source: bytes, target: bytes, protocol: int, size: int) -> bytes:
    blank = _IP.pack(0x45, 0, _IP.size + size, 0, 0, HOPS, protocol, 0, source, target)
    return blank[:10] + checksum(blank).to_bytes(2) + blank[12:]
