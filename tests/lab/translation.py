"""What a NAT router does to UDP over IPv4: addresses, ports, checksums. No I/O; not a test."""

from __future__ import annotations

import itertools
import struct
from typing import NamedTuple

UDP = 17

FIRST_PORT, LAST_PORT = 20_000, 60_000
"""From which the router takes the ports, one after the other; there are never so many senders."""


class Flow(NamedTuple):
    """Addresses and ports of a datagram."""

    source: bytes
    source_port: bytes
    target: bytes
    target_port: bytes


def flow_of(packet: bytes) -> Flow | None:
    """Return whose a packet is; None if it is no UDP over IPv4, or a fragment."""
    if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != UDP:
        return None
    # RFC 791 3.1: more fragments, and where this one belongs.
    if (packet[6] << 8 | packet[7]) & 0x3FFF:
        return None
    at = (packet[0] & 15) * 4
    ports = packet[at : at + 4]
    if len(ports) < 4:
        return None
    return Flow(packet[12:16], ports[:2], packet[16:20], ports[2:])


def rewritten(packet: bytes, flow: Flow) -> bytes:
    """Return the packet with other addresses and ports, and the checksums that they need."""
    at = (packet[0] & 15) * 4
    new = bytearray(packet)
    new[12:20] = flow.source + flow.target
    new[at : at + 4] = flow.source_port + flow.target_port
    new[10:12] = bytes(2)
    new[10:12] = _folded(_sum(new[:at])).to_bytes(2)
    checksum = packet[at + 6 : at + 8]
    if checksum != bytes(2):  # RFC 768: the sender made none
        # RFC 1624, equation 3: what goes is taken out of the sum, what comes is added.
        goes = packet[12:20] + packet[at : at + 4] + checksum
        comes = new[12:20] + new[at : at + 4]
        total = 0xFFFF * len(goes) // 2 - _sum(goes) + _sum(comes)
        new[at + 6 : at + 8] = (_folded(total) or 0xFFFF).to_bytes(2)
    return bytes(new)


class Translator:
    """A router's memory: which sender inside has which port outside.

    A sender has a port for each address that it sends to, and only that address may answer: the
    strictest kind (RFC 4787, address and port-dependent, both mapping and filtering).
    """

    def __init__(self, outside: bytes) -> None:
        self._outside = outside
        self._free = itertools.cycle(range(FIRST_PORT, LAST_PORT))
        self._ports: dict[Flow, bytes] = {}
        self._inside: dict[Flow, Flow] = {}
        """By the flow of an answer, as it comes: the same as it goes on."""

    def forget(self) -> None:
        """Give all senders other ports from now on; what comes for the old ones is lost."""
        self._ports.clear()
        self._inside.clear()

    def outwards(self, packet: bytes) -> bytes | None:
        """Return the packet as it leaves; None if it is nothing that leaves."""
        flow = flow_of(packet)
        if flow is None:
            return None
        port = self._ports.get(flow)
        if port is None:
            port = self._ports[flow] = next(self._free).to_bytes(2)
            answer = Flow(flow.target, flow.target_port, self._outside, port)
            self._inside[answer] = Flow(
                flow.target, flow.target_port, flow.source, flow.source_port
            )
        return rewritten(packet, Flow(self._outside, port, flow.target, flow.target_port))

    def inwards(self, packet: bytes) -> bytes | None:
        """Return the packet as it goes on to who is inside; None if nobody asked for it."""
        flow = flow_of(packet)
        inside = self._inside.get(flow) if flow else None
        return rewritten(packet, inside) if inside else None


def _sum(data: bytes | bytearray) -> int:
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
