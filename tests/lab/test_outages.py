"""Outages: all packets are lost for a while, and no host is notified."""

from __future__ import annotations

import time

import pytest

MINUTE = 60

FULL_LOAD = 3
"""Seconds of full load before and after the outage."""


def have_outage(scenario, seconds: float) -> None:
    scenario.lab.darken()
    time.sleep(seconds)
    scenario.data_is_back("back", scenario.lab.lighten(), bound=1)


@pytest.mark.mixed
def test_blackout_of_5_s(scenario):
    scenario.up()
    have_outage(scenario, 5)
    scenario.nothing_is_lost()


@pytest.mark.nightly
def test_blackout_of_60_s(scenario):
    scenario.up()
    have_outage(scenario, MINUTE)
    scenario.nothing_is_lost()


@pytest.mark.nightly
def test_blackout_of_10_min(scenario):
    scenario.up()
    have_outage(scenario, 10 * MINUTE)
    scenario.nothing_is_lost()


def test_blackout_in_which_only_the_remote_has_data(scenario):
    scenario.up()
    scenario.pause_traffic()
    pouring = scenario.traffic.led("bulk", by=("client",))
    scenario.lab.darken()
    scenario.traffic.let("bulk", by=("client",))
    time.sleep(8)
    scenario.data_is_back("back", scenario.lab.lighten(), bound=1, of=pouring)
    scenario.traffic.let("echo", "bulk")
    scenario.wait_for_data(scenario.traffic.connections)
    scenario.nothing_is_lost()


def test_memory_after_an_outage_under_full_load(scenario):
    scenario.lab.change(rate=4_000_000)
    scenario.up()
    time.sleep(FULL_LOAD)  # the windows have grown
    before = scenario.memory_at_rest()
    scenario.traffic.let("echo", "bulk")
    scenario.wait_for_data(scenario.traffic.connections)
    have_outage(scenario, 8)
    time.sleep(FULL_LOAD)
    scenario.has_not_grown(before)
    scenario.nothing_is_lost()
