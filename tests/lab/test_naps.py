"""The origin's process, or its whole machine, does nothing for a while."""

from __future__ import annotations

import time

import pytest


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
