"""The origin's process is stopped, or its machine is suspended."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from uplinks import MOBILE, WIFI

SUSPENDED_CLOCK = Path(__file__).with_name("suspended_clock")

SLEPT = 300
"""Seconds of the suspend, by the machine's clocks."""


def stop_for(scenario, seconds: float) -> None:
    scenario.up()
    with scenario.lab.stopped(scenario.lab.origin):
        time.sleep(seconds)
    scenario.data_is_back("continued", time.monotonic(), bound=1)
    scenario.nothing_is_lost()


def test_origin_is_stopped_for_10_s(scenario):
    stop_for(scenario, 10)


@pytest.mark.nightly
def test_origin_is_stopped_for_60_s(scenario):
    stop_for(scenario, 60)


def test_machine_sleeps_and_wakes_on_another_network(scenario, tmp_path):
    clock = tmp_path / "slept"
    clock.write_text("0")
    scenario.up(PYTHONPATH=str(SUSPENDED_CLOCK), LABORATORY_SLEPT=str(clock))
    with scenario.lab.stopped(scenario.lab.origin):
        scenario.lab.leave(WIFI)
        clock.write_text(str(SLEPT))
        time.sleep(1)
        back = scenario.lab.join(MOBILE)
    scenario.data_is_back("woken", back, bound=2)
    scenario.nothing_is_lost()
