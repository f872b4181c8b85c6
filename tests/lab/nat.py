"""NAT for UDP over IPv4, and for ICMP errors about it. No I/O; not a test."""

from __future__ import annotations

import itertools
import struct
from typing import NamedTuple

ICMP, UDP = 1, 17

ICMP_ERRORS = frozenset({3, 11, 12})
"""Types of ICMP messages that quote a packet (RFC 792)."""

PORT_UNREACHABLE = (3, 3)
"""Type and code."""

QUOTED = 20 + 8 + 520
"""Bytes of a packet that an ICMP error quotes, as Linux does."""

FIRST_PORT, LAST_PORT = 20_000, 60_000
"""The range of public ports, taken in turn. There are never so many senders."""


class Flow(NamedTuple):
    """Addresses and ports of a datagram."""

    source: bytes
    source_port: bytes
    target: bytes
    target_port: bytes

    @property
    def reversed(self) -> Flow:
        """The flow of the answers."""
        return Flow(self.target, self.target_port, self.source, self.source_port)


def is_udp(packet: bytes) -> bool:
    """Return whether a packet of IPv4, or of IPv6 without extension headers, is UDP."""
    return packet[9 if packet[0] >> 4 == 4 else 6] == UDP


def flow_of(packet: bytes) -> Flow | None:
    """Return the flow of a packet, or None if it is not UDP over IPv4, or a fragment."""
    if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != UDP:
        return None
    # RFC 791, section 3.1: the flag for more fragments, and the fragment offset.
    if (packet[6] << 8 | packet[7]) & 0x3FFF:
        return None
    at = (packet[0] & 15) * 4
    ports = packet[at : at + 4]
    if len(ports) < 4:
        return None
    return Flow(packet[12:16], ports[:2], packet[16:20], ports[2:])


def quotation(packet: bytes) -> bytes | None:
    """Return the packet that an ICMP error quotes, or None if the packet is no such error."""
    at = (packet[0] & 15) * 4
    if len(packet) < at + 8 or packet[0] >> 4 != 4 or packet[9] != ICMP:
        return None
    return packet[at + 8 :] if packet[at] in ICMP_ERRORS else None


def icmp_error(source: bytes, target: bytes, kind: tuple[int, int], quoted: bytes) -> bytes:
    """Return an ICMP error as a packet.

    :param kind: the type and code.
    """
    message = bytes((*kind, 0, 0)) + bytes(4) + quoted
    even = message + bytes(len(message) % 2)
    message = message[:2] + _folded(_sum(even)).to_bytes(2) + message[4:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, ICMP, 0)
    header += source + target
    return header[:10] + _folded(_sum(header)).to_bytes(2) + header[12:] + message


def rejection(packet: bytes) -> bytes:
    """Return the ICMP port unreachable by which the destination answers a packet."""
    return icmp_error(packet[16:20], packet[12:16], PORT_UNREACHABLE, packet[:QUOTED])


def rewritten(packet: bytes, flow: Flow) -> bytes:
    """Return the packet with other addresses and ports, and with correct checksums."""
    at = (packet[0] & 15) * 4
    new = bytearray(packet)
    new[12:20] = flow.source + flow.target
    new[at : at + 4] = flow.source_port + flow.target_port
    new[10:12] = bytes(2)
    new[10:12] = _folded(_sum(new[:at])).to_bytes(2)
    checksum = packet[at + 6 : at + 8]
    if checksum != bytes(2):  # RFC 768: the sender computed no checksum
        # RFC 1624, equation 3: subtract the old words from the sum, and add the new ones.
        removed = packet[12:20] + packet[at : at + 4] + checksum
        added = new[12:20] + new[at : at + 4]
        total = 0xFFFF * len(removed) // 2 - _sum(removed) + _sum(added)
        new[at + 6 : at + 8] = (_folded(total) or 0xFFFF).to_bytes(2)
    return bytes(new)


class NatTable:
    """A router's mappings of private senders to public ports.

    Mapping and filtering depend on address and port, the strictest kind in RFC 4787: a sender has
    another port for each target, and only that target may answer.
    """

    def __init__(self, outside: bytes) -> None:
        self._outside = outside
        self._free = itertools.cycle(range(FIRST_PORT, LAST_PORT))
        self._ports: dict[Flow, bytes] = {}
        self._inside: dict[Flow, Flow] = {}
        """The flow of an answer on the private side, by its flow on the public side."""

    def clear(self) -> None:
        """Forget all mappings. Senders get other ports, and packets for the old ports are lost."""
        self._ports.clear()
        self._inside.clear()

    def outwards(self, packet: bytes) -> bytes | None:
        """Return the translated packet from a sender, or None if it is dropped."""
        if (quoted := quotation(packet)) is not None:
            return self._error_outwards(packet, quoted)
        flow = flow_of(packet)
        if flow is None:
            return None
        port = self._ports.get(flow)
        if port is None:
            port = self._ports[flow] = next(self._free).to_bytes(2)
            answer = Flow(flow.target, flow.target_port, self._outside, port)
            self._inside[answer] = flow.reversed
        return rewritten(packet, Flow(self._outside, port, flow.target, flow.target_port))

    def inwards(self, packet: bytes) -> bytes | None:
        """Return the translated packet for a sender, or None if there is no mapping."""
        if (quoted := quotation(packet)) is not None:
            return self._error_inwards(packet, quoted)
        flow = flow_of(packet)
        inside = self._inside.get(flow) if flow else None
        return rewritten(packet, inside) if inside else None

    def _error_outwards(self, packet: bytes, quoted: bytes) -> bytes | None:
        """Translate a private host's ICMP error about a packet from outside (RFC 5508, 4.2)."""
        flow = flow_of(quoted)
        port = self._ports.get(flow.reversed) if flow else None
        if port is None:
            return None
        known_as = Flow(flow.source, flow.source_port, self._outside, port)
        return _translated(packet, self._outside, packet[16:20], rewritten(quoted, known_as))

    def _error_inwards(self, packet: bytes, quoted: bytes) -> bytes | None:
        """Translate an ICMP error from outside about a sender's packet."""
        flow = flow_of(quoted)
        inside = self._inside.get(flow.reversed) if flow else None
        if inside is None:
            return None
        sent = rewritten(quoted, inside.reversed)
        return _translated(packet, packet[12:16], inside.target, sent)


def _translated(packet: bytes, source: bytes, target: bytes, quoted: bytes) -> bytes:
    at = (packet[0] & 15) * 4
    return icmp_error(source, target, (packet[at], packet[at + 1]), quoted)


def _sum(data: bytes | bytearray) -> int:
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
