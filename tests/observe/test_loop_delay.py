"""The delay of the event loop is sampled only for some time after a call of `watch`."""

from __future__ import annotations

import asyncio
from functools import partial

from quictunnel.observe.loop_delay import INTERVAL, WATCH_TIME, LoopDelay
from testkit.clock import settle, virtual_time


@virtual_time
async def test_no_sample_is_taken_before_the_first_watch():
    delay = LoopDelay()
    await asyncio.sleep(60)
    assert delay.histogram.count == 0


@virtual_time
async def test_samples_are_taken_for_some_time_after_the_last_watch():
    delay = LoopDelay()
    delay.watch()
    await asyncio.sleep(WATCH_TIME / 2)
    delay.watch()
    await asyncio.sleep(2 * WATCH_TIME)
    expected = 1.5 * WATCH_TIME / INTERVAL
    assert abs(delay.histogram.count - expected) <= 2


@virtual_time
async def test_a_loop_that_was_blocked_was_late():
    loop, delay = asyncio.get_running_loop(), LoopDelay()
    delay.watch()
    await asyncio.sleep(INTERVAL / 2)
    loop.jump(0.3)
    await settle()
    assert abs(delay.histogram.sum - (0.3 - INTERVAL / 2)) < 0.001
    delay.close()


def test_late_timers_are_seen():
    async def watch_for_a_second():
        delay = LoopDelay()
        delay.watch()
        await asyncio.sleep(1)
        delay.close()
        assert delay.histogram.sum / delay.histogram.count > 0.003

    partial(virtual_time, lateness=0.004)(watch_for_a_second)()


@virtual_time
async def test_close_ends_the_samples():
    delay = LoopDelay()
    delay.watch()
    delay.close()
    await asyncio.sleep(WATCH_TIME)
    assert delay.histogram.count == 0
