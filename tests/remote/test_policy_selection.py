"""Which policy is for a place."""

from __future__ import annotations

import pytest

from quictunnel.config.policy import ACCEPT_ALL, Policy
from quictunnel.config.ports import PortRange
from quictunnel.remote.policy_selection import select_policy

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
    assert select_policy(POLICIES, place) is POLICIES[selected]


@pytest.mark.parametrize("place", [None, PortRange(80, 80), "www.example.com", "*"])
def test_a_place_without_a_policy_accepts_all(place):
    others = {PortRange(81, 81): Policy(max_clients=1), "a.test": Policy(max_clients=1)}
    assert select_policy(others, place) is ACCEPT_ALL
