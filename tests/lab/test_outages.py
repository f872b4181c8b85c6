"""Nothing comes through for a while, and no host is told."""

from __future__ import annotations

import time

import pytest

MINUTE = 60

FULL_LOAD = 3
"""Seconds of it."""


def endure(row, seconds: float) -> None:
    row.lab.darken()
    time.sleep(seconds)
    row.data_is_back("back", row.lab.lighten(), bound=1)


@pytest.mark.mixed
def test_blackout_of_5_s(row):
    row.up()
    endure(row, 5)
    row.nothing_is_lost()


@pytest.mark.nightly
def test_blackout_of_60_s(row):
    row.up()
    endure(row, MINUTE)
    row.nothing_is_lost()


@pytest.mark.nightly
def test_blackout_of_10_min(row):
    row.up()
    endure(row, 10 * MINUTE)
    row.nothing_is_lost()


def test_blackout_in_which_only_the_remote_has_data(row):
    row.up()
    row.hush()
    pouring = row.traffic.led("bulk", by=("client",))
    row.lab.darken()
    row.traffic.let("bulk", by=("client",))
    time.sleep(8)
    row.data_is_back("back", row.lab.lighten(), bound=1, of=pouring)
    row.traffic.let("echo", "bulk")
    row.flows(row.traffic.talks)
    row.nothing_is_lost()


def test_memory_after_an_outage_under_full_load(row):
    row.lab.change(rate=4_000_000)
    row.up()
    time.sleep(FULL_LOAD)  # windows have grown by then
    before = row.memory_at_rest()
    row.traffic.let("echo", "bulk")
    row.flows(row.traffic.talks)
    endure(row, 8)
    time.sleep(FULL_LOAD)
    row.has_not_grown(before)
    row.nothing_is_lost()
