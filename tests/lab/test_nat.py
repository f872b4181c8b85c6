"""The laboratory's NAT with hand-made packets: translation both ways, and checksums."""

from __future__ import annotations

import ipaddress
import random
import struct

from nat import Flow, NatTable, flow_of, icmp_error, quotation, rejection

INSIDE, OUTSIDE, REMOTE, OTHER = (
    ipaddress.ip_address(text).packed
    for text in ("192.168.1.10", "198.51.100.1", "203.0.113.7", "203.0.113.8")
)


def port(number: int) -> bytes:
    return number.to_bytes(2)


def ones_complement(data: bytes) -> int:
    """Return the checksum of RFC 1071; 0xFFFF over data with a correct checksum."""
    even = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def datagram(flow: Flow, payload: bytes) -> bytes:
    length = 8 + len(payload)
    pseudo = flow.source + flow.target + struct.pack(">HH", 17, length)
    udp = flow.source_port + flow.target_port + struct.pack(">HH", length, 0) + payload
    even = pseudo + udp + bytes(len(udp) % 2)
    checksum = ~ones_complement(even) & 0xFFFF or 0xFFFF
    udp = udp[:6] + port(checksum) + udp[8:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 7, 0x4000, 64, 17, 0)
    header += flow.source + flow.target
    return header[:10] + port(~ones_complement(header) & 0xFFFF) + header[12:] + udp


LEAVING = Flow(INSIDE, port(5000), REMOTE, port(9001))


def answer_to(packet: bytes, payload: bytes) -> bytes:
    source, source_port, target, target_port = flow_of(packet)
    return datagram(Flow(target, target_port, source, source_port), payload)


def test_a_datagram_and_its_answer_are_translated():
    nat = NatTable(OUTSIDE)
    left = nat.outwards(datagram(LEAVING, b"hello"))
    assert flow_of(left)._replace(source_port=b"") == Flow(OUTSIDE, b"", REMOTE, port(9001))
    back = nat.inwards(answer_to(left, b"answer"))
    assert back == datagram(Flow(REMOTE, port(9001), INSIDE, port(5000)), b"answer")


def test_a_sender_keeps_its_port_until_the_table_is_cleared():
    nat = NatTable(OUTSIDE)
    first, second = (nat.outwards(datagram(LEAVING, b"hello")) for _ in range(2))
    assert first == second
    nat.clear()
    assert nat.inwards(answer_to(first, b"late")) is None
    assert flow_of(nat.outwards(datagram(LEAVING, b"hello"))) != flow_of(first)


def test_unsolicited_datagrams_are_dropped():
    nat = NatTable(OUTSIDE)
    left = flow_of(nat.outwards(datagram(LEAVING, b"hello")))
    for flow in (
        Flow(OTHER, port(9001), OUTSIDE, left.source_port),
        Flow(REMOTE, port(9002), OUTSIDE, left.source_port),
        Flow(REMOTE, port(9001), OUTSIDE, port(1)),
    ):
        assert nat.inwards(datagram(flow, b"hello")) is None


def test_checksums_of_any_payload_are_correct():
    nat = NatTable(OUTSIDE)
    dice = random.Random(5)
    for size in range(200):
        flow = Flow(dice.randbytes(4), dice.randbytes(2), dice.randbytes(4), dice.randbytes(2))
        payload = dice.randbytes(size)
        left = nat.outwards(datagram(flow, payload))
        assert left == datagram(flow_of(left), payload)


def test_errors_of_either_side_are_translated():
    nat = NatTable(OUTSIDE)
    sent = datagram(LEAVING, b"hello")
    left = nat.outwards(sent)
    back = nat.inwards(rejection(left))
    assert back == rejection(sent)
    answer = answer_to(left, b"answer")
    arrived = nat.inwards(answer)
    assert nat.outwards(rejection(arrived)) == rejection(answer)
    assert ones_complement(back[:20]) == ones_complement(back[20:]) == 0xFFFF


def test_errors_about_other_packets_are_dropped():
    nat = NatTable(OUTSIDE)
    left = nat.outwards(datagram(LEAVING, b"hello"))
    other = datagram(Flow(OUTSIDE, port(1), REMOTE, port(9001)), b"hello")
    assert nat.inwards(rejection(other)) is None
    assert nat.outwards(rejection(answer_to(other, b"answer"))) is None
    ping = icmp_error(REMOTE, OUTSIDE, (8, 0), left)
    assert quotation(ping) is None
    assert nat.inwards(ping) is None


def test_only_whole_udp_over_ipv4_passes():
    nat = NatTable(OUTSIDE)
    whole = bytearray(datagram(LEAVING, b"hello"))
    fragment, tcp = whole.copy(), whole.copy()
    fragment[6] = 0x20
    tcp[9] = 6
    for packet in (fragment, tcp, whole[:22], b"\x60" + bytes(60), b"\x45"):
        assert nat.outwards(bytes(packet)) is None
        assert nat.inwards(bytes(packet)) is None
