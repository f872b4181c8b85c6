"""Headers of datagrams that belong to no connection."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies

from quictunnel.quic.engines.aioquic import packets
from quictunnel.quic.limits import PACKETS_PER_DATAGRAM
from testkit.crafted_packets import PING, sealed_initial


@given(strategies.binary(max_size=1500))
@settings(max_examples=300, deadline=None)
def test_any_bytes_can_be_parsed(data: bytes) -> None:
    packets.destination(data)
    packets.parse_initial(data)
    packets.parse_initial(data.ljust(1200, b"\0"))
    packets.is_overfull(data)


@pytest.mark.parametrize("size", range(21))
def test_a_client_chooses_an_id_that_is_long_enough(size: int) -> None:
    header = bytes([0xC0, 0, 0, 0, 1, size, *range(size), 0, 0, 0x44, 0x4C])
    found = packets.parse_initial(header.ljust(1200, b"\0"))
    assert (found is not None) == (size >= packets.FIRST_ID_MIN)


@pytest.mark.parametrize("tail", [b"", bytes(100), b"\x40" + bytes(50), b"\xc0"])
def test_a_datagram_joins_few_packets(tail: bytes) -> None:
    """A packet with a short header, or padding behind the packets, is one more at most."""
    joined = [
        sealed_initial(PING + bytes(20), destination=b"1" * 8, source=b"2" * 8, number=number)
        for number in range(PACKETS_PER_DATAGRAM + 1)
    ]
    assert packets.is_overfull(b"".join(joined))
    assert not packets.is_overfull(b"".join(joined[:-2]) + tail)
