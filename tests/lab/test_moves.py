"""The origin changes its network while the link is up."""

from __future__ import annotations

import time

import pytest
from uplinks import MOBILE, WIFI

BETWEEN = 0.1
"""Seconds without an uplink during a change."""


@pytest.mark.mixed
def test_uplink_changes(scenario):
    scenario.up()
    scenario.lab.leave(WIFI)
    time.sleep(BETWEEN)
    scenario.data_is_back("A to B", scenario.lab.join(MOBILE), bound=1)
    scenario.nothing_is_lost()


def test_uplink_changes_where_datagrams_are_lost(scenario):
    scenario.lab.change(loss=0.02, jitter=0.01)
    scenario.up()
    scenario.lab.leave(WIFI)
    time.sleep(BETWEEN)
    scenario.data_is_back("A to B", scenario.lab.join(MOBILE), bound=1)
    scenario.nothing_is_lost()


def test_family_changes_and_changes_back(scenario):
    scenario.up()
    scenario.lab.leave(WIFI)
    time.sleep(BETWEEN)
    scenario.data_is_back("to IPv6", scenario.lab.join(MOBILE, 6), bound=2)
    scenario.lab.leave(MOBILE)
    time.sleep(BETWEEN)
    scenario.data_is_back("to IPv4", scenario.lab.join(WIFI, 4), bound=2)
    scenario.nothing_is_lost()


def test_no_address_for_5_s_then_another(scenario):
    scenario.up()
    scenario.lab.leave(WIFI)
    time.sleep(5)
    scenario.data_is_back("back", scenario.lab.join(MOBILE), bound=1)
    scenario.nothing_is_lost()


def test_uplink_changes_20_times_in_40_s(scenario):
    scenario.up()
    back = time.monotonic()
    for number in range(20):
        here, there = (WIFI, MOBILE) if number % 2 == 0 else (MOBILE, WIFI)
        scenario.lab.leave(here)
        time.sleep(BETWEEN)
        back = scenario.lab.join(there)
        if number < 19:
            time.sleep(2 - BETWEEN)
    scenario.data_is_back("after the last", back, bound=1)
    scenario.nothing_is_lost()
