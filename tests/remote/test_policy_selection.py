"""Which policy is for a place."""

from __future__ import annotations

import pytest

from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange
from quictunnel.remote.policy_selection import PolicyTable

PLACES = (
    None,
    PortRange(80, 80),
    PortRange(70, 99),
    "www.example.com",
    "*.example.com",
    "*.b.example.com",
    "*",
)
POLICIES = {place: Policy(max_clients=number) for number, place in enumerate(PLACES, 1)}


@pytest.mark.parametrize(
    ("place", "selected"),
    [
        (None, None),
        (PortRange(80, 80), PortRange(80, 80)),
        (PortRange(80, 81), PortRange(70, 99)),
        ("www.example.com", "www.example.com"),
        ("other.example.com", "*.example.com"),
        ("a.b.example.com", "*.b.example.com"),
        ("*.a.example.com", "*.example.com"),
        ("*.example.com", "*.example.com"),
        ("example.com", "*"),
        ("*", "*"),
    ],
)
def test_the_most_specific_policy_counts(place, selected):
    table = PolicyTable(POLICIES)
    for _ in range(2):
        assert table.find(place) == (selected, POLICIES[selected])


@pytest.mark.parametrize("place", [None, PortRange(80, 80), "www.example.com", "*"])
def test_a_place_may_have_no_policy(place):
    others = {PortRange(81, 81): Policy(max_clients=1), "a.test": Policy(max_clients=1)}
    for _ in range(2):
        assert PolicyTable(others).find(place) is None


def test_a_range_that_only_overlaps_has_no_policy_but_its_ports_have():
    policy = Policy(max_clients=1)
    table = PolicyTable({PortRange(2225, 2240): policy})
    assert table.find(PortRange(2220, 2230)) is None
    found = {port: table.find(PortRange(port, port)) for port in (2220, 2224, 2225, 2230)}
    ruled = (PortRange(2225, 2240), policy)
    assert found == {2220: None, 2224: None, 2225: ruled, 2230: ruled}


def test_a_table_without_policies_is_false():
    assert (bool(PolicyTable({})), bool(PolicyTable({None: Policy()}))) == (False, True)
