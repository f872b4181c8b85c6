"""The origin's network changes under the link."""

from __future__ import annotations

import time

import pytest
from places import MOBILE, WIFI

BETWEEN = 0.1
"""Seconds that a change of uplink leaves the host without one."""


@pytest.mark.mixed
def test_uplink_changes(row):
    row.up()
    row.lab.leave(WIFI)
    time.sleep(BETWEEN)
    row.data_is_back("A to B", row.lab.join(MOBILE), bound=1)
    row.nothing_is_lost()


def test_uplink_changes_where_datagrams_are_lost(row):
    row.lab.change(loss=0.02, jitter=0.01)
    row.up()
    row.lab.leave(WIFI)
    time.sleep(BETWEEN)
    row.data_is_back("A to B", row.lab.join(MOBILE), bound=1)
    row.nothing_is_lost()


def test_family_changes_and_changes_back(row):
    row.up()
    row.lab.leave(WIFI)
    time.sleep(BETWEEN)
    row.data_is_back("to IPv6", row.lab.join(MOBILE, 6), bound=2)
    row.lab.leave(MOBILE)
    time.sleep(BETWEEN)
    row.data_is_back("to IPv4", row.lab.join(WIFI, 4), bound=2)
    row.nothing_is_lost()


def test_no_address_for_5_s_then_another(row):
    row.up()
    row.lab.leave(WIFI)
    time.sleep(5)
    row.data_is_back("back", row.lab.join(MOBILE), bound=1)
    row.nothing_is_lost()


def test_uplink_changes_20_times_in_40_s(row):
    row.up()
    back = time.monotonic()
    for number in range(20):
        here, there = (WIFI, MOBILE) if number % 2 == 0 else (MOBILE, WIFI)
        row.lab.leave(here)
        time.sleep(BETWEEN)
        back = row.lab.join(there)
        if number < 19:
            time.sleep(2 - BETWEEN)
    row.data_is_back("after the last", back, bound=1)
    row.nothing_is_lost()
