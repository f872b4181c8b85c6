"""The path `/metrics`: one scrape at a time, and nothing is loaded before the first one."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from observed_role import ScriptedRole

from quictunnel.admin.metrics_operation import metrics_operation
from quictunnel.observe.loop_delay import INTERVAL, LoopDelay
from quictunnel.observe.tallies import Tallies


@pytest.fixture
def role():
    return ScriptedRole()


@pytest.fixture
async def loop_delay():
    delay = LoopDelay()
    yield delay
    delay.close()


@pytest.fixture
async def peer(serve, role, loop_delay):
    return await serve(metrics_operation(role, Tallies(), loop_delay).route())


async def test_prometheus_gets_its_text_format(peer):
    answer = await peer.request("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\nquictunnel_ready 1.0\n" in answer.body
    assert peer.events == []


async def test_scrapes_at_the_same_time_count_each_byte_once(peer):
    for answer in await asyncio.gather(*(peer.request("/metrics") for _ in range(8))):
        assert b'\nquictunnel_link_sent_bytes_total{origin="box"} 1000.0\n' in answer.body


async def test_the_event_loop_is_measured_from_the_first_scrape_on(peer, loop_delay):
    assert loop_delay.histogram.count == 0
    await peer.request("/metrics")
    await asyncio.sleep(2 * INTERVAL)
    assert loop_delay.histogram.count
    answer = await peer.request("/metrics")
    assert b"\nquictunnel_event_loop_delay_seconds_count 0.0\n" not in answer.body


async def test_metrics_cannot_be_posted(peer):
    assert (await peer.command("/metrics")).status == 405


def test_the_library_is_not_loaded_with_the_route():
    check = "import sys, quictunnel.admin.application; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
