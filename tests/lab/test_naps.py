"""The origin's process, or its whole machine, does nothing for a while."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from places import MOBILE, WIFI

NAP = Path(__file__).with_name("nap")

SLEPT = 300
"""Seconds that the machine sleeps, by its clocks."""


def stop_for(row, seconds: float) -> None:
    row.up()
    with row.lab.stopped(row.lab.origin):
        time.sleep(seconds)
    row.data_is_back("continued", time.monotonic(), bound=1)
    row.nothing_is_lost()


def test_origin_is_stopped_for_10_s(row):
    stop_for(row, 10)


@pytest.mark.nightly
def test_origin_is_stopped_for_60_s(row):
    stop_for(row, 60)


def test_machine_sleeps_and_wakes_on_another_network(row, tmp_path):
    clock = tmp_path / "slept"
    clock.write_text("0")
    row.up(PYTHONPATH=str(NAP), LABORATORY_SLEPT=str(clock))
    with row.lab.stopped(row.lab.origin):
        row.lab.leave(WIFI)
        clock.write_text(str(SLEPT))
        time.sleep(1)
        back = row.lab.join(MOBILE)
    row.data_is_back("woken", back, bound=2)
    row.nothing_is_lost()
