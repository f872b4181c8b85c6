"""The phases of a session, and the tasks that wait for them."""

from __future__ import annotations

import asyncio

from quictunnel.errors import LinkLost
from quictunnel.origin.session_life import Phase, SessionLife
from testkit.clock import settle, virtual_time


@virtual_time
async def test_a_task_waits_for_any_of_several_phases():
    life = SessionLife()
    waiting = [
        asyncio.create_task(life.wait_for(Phase.LEAVING, Phase.ENDED)),
        asyncio.create_task(life.wait_for(Phase.SILENT)),
    ]
    await settle()
    assert not any(task.done() for task in waiting)
    life.set_silent(is_silent=True)
    assert await waiting[1] is Phase.SILENT
    life.set_silent(is_silent=False)
    life.leave()
    assert await waiting[0] is Phase.LEAVING
    assert await life.wait_for(Phase.LEAVING) is Phase.LEAVING


@virtual_time
async def test_a_leaving_session_does_not_fall_silent():
    life = SessionLife()
    life.leave()
    life.set_silent(is_silent=True)
    assert life.phase is Phase.LEAVING


@virtual_time
async def test_a_cancelled_task_does_not_disturb_the_others():
    life = SessionLife()
    waiting = [asyncio.create_task(life.wait_for(Phase.ENDED)) for _ in range(2)]
    await settle()
    waiting[0].cancel()
    await settle()
    error = LinkLost(None, "lost")
    life.end(error)
    assert await waiting[1] is Phase.ENDED
    assert life.ended.result() is error
