"""Headers of datagrams that belong to no connection."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies

from quictunnel.quic.engines.aioquic import packets


@given(strategies.binary(max_size=1500))
@settings(max_examples=300, deadline=None)
def test_any_bytes_can_be_parsed(data: bytes) -> None:
    packets.destination(data)
    packets.parse_initial(data)
    packets.parse_initial(data.ljust(1200, b"\0"))


@pytest.mark.parametrize("size", range(21))
def test_a_client_chooses_an_id_that_is_long_enough(size: int) -> None:
    header = bytes([0xC0, 0, 0, 0, 1, size, *range(size), 0, 0, 0x44, 0x4C])
    found = packets.parse_initial(header.ljust(1200, b"\0"))
    assert (found is not None) == (size >= packets.FIRST_ID_MIN)
