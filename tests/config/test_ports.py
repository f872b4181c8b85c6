"""Ports that origins may ask for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.ports import AllowedPorts, PortRange

RANGES = st.tuples(st.integers(1, 30), st.integers(0, 10)).map(
    lambda pair: PortRange(pair[0], sum(pair))
)


@given(st.lists(RANGES, max_size=6), RANGES)
def test_ports_are_allowed_if_one_of_the_ranges_has_all_of_them(ranges, ports):
    assert (ports in AllowedPorts(ranges)) == any(ports in each for each in ranges)
