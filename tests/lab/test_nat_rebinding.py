"""The NAT router loses its mapping: the origin gets another port, and answers are lost."""

from __future__ import annotations

import time

import pytest


@pytest.mark.mixed
def test_nat_rebinding(scenario):
    scenario.up()
    scenario.data_is_back("data flowing", scenario.lab.rebind_senders(), bound=1)
    for speaker, whose in (("server", "the origin's"), ("client", "the remote's")):
        scenario.pause_traffic()
        scenario.lab.rebind_senders()
        since = time.monotonic()
        scenario.traffic.let("echo", by=(speaker,))
        connections = scenario.traffic.led("echo", by=(speaker,))
        scenario.data_is_back(f"idle, then {whose} data", since, bound=1, of=connections)
        scenario.traffic.let("echo", "bulk")
        scenario.wait_for_data(scenario.traffic.connections)
    scenario.nothing_is_lost()
