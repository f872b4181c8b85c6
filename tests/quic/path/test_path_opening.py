"""Attempts to open a path: how often, how long, and what remains of those that are abandoned."""

from __future__ import annotations

import asyncio

from quictunnel.errors import LinkFailed
from quictunnel.quic.path.path_opening import OPEN_TIMEOUT, PathOpening
from testkit.clock import seconds, settle, virtual_time


class OpenedPath:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class ScriptedOpener:
    """Opens paths, or fails, after some seconds."""

    def __init__(self) -> None:
        self.takes = 0.0
        self.obstacle: Exception | None = LinkFailed("the proxy refuses")
        self.is_stubborn = False
        self.started_at: list[float] = []
        self.paths: list[OpenedPath] = []

    async def open(self) -> OpenedPath:
        self.started_at.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(self.takes)
        except asyncio.CancelledError:
            if not self.is_stubborn:
                raise
        if self.obstacle is not None:
            raise self.obstacle
        self.paths.append(OpenedPath())
        return self.paths[-1]


class Attempts:
    def __init__(self) -> None:
        self.opener = ScriptedOpener()
        self.is_needed = True
        self.opened: list[OpenedPath] = []
        self.failures: list[str] = []
        self.opening = PathOpening(
            self.opener,
            asyncio.get_running_loop(),
            opened=self.opened.append,
            is_needed=lambda: self.is_needed,
            failed=self.failures.append,
        )


@virtual_time
async def test_pauses_grow_and_each_new_reason_is_reported_once():
    attempts = Attempts()
    attempts.opening.start(at_once=True)
    attempts.opening.start(at_once=True)
    await seconds(12)
    assert attempts.opener.started_at == [0, 0.2, 0.7, 1.7, 3.7, 8.7]
    assert attempts.failures == ["the proxy refuses"]
    attempts.opener.obstacle = LinkFailed("no route")
    await seconds(3)
    attempts.opener.obstacle = None
    await seconds(5)
    assert attempts.failures == ["the proxy refuses", "no route"]
    assert len(attempts.opened) == 1
    assert not attempts.opening.is_running
    await seconds(60)
    assert len(attempts.opener.started_at) == 8


@virtual_time
async def test_no_attempt_follows_when_none_is_needed():
    attempts = Attempts()
    attempts.opening.start(at_once=False)
    await seconds(0.1)
    assert attempts.opener.started_at == []
    attempts.is_needed = False
    await seconds(60)
    assert attempts.opener.started_at == []
    assert not attempts.opening.is_running


@virtual_time
async def test_an_attempt_without_end_is_abandoned():
    attempts = Attempts()
    attempts.opener.takes = 1000
    attempts.opening.start(at_once=True)
    await seconds(OPEN_TIMEOUT + 0.3)
    assert attempts.opener.started_at == [0, OPEN_TIMEOUT + 0.2]
    attempts.opening.stop()
    await settle()
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_another_network_replaces_the_attempt_under_way_and_noise_does_not():
    attempts = Attempts()
    attempts.opener.takes, attempts.opener.obstacle = 1.0, None
    attempts.opening.start(at_once=True)
    for _ in range(5):
        await seconds(0.1)
        attempts.opening.hasten(anew=False)
    assert len(attempts.opener.started_at) == 1
    attempts.opening.hasten(anew=True)
    await seconds(0.9)
    assert attempts.opened == []
    await seconds(0.2)
    assert len(attempts.opened) == 1
    assert attempts.opener.started_at == [0, 0.5]


@virtual_time
async def test_a_pause_ends_with_the_news_of_a_network():
    attempts = Attempts()
    attempts.opening.start(at_once=True)
    await seconds(5)
    attempts.opener.obstacle = None
    attempts.opening.hasten(anew=False)
    await settle()
    assert len(attempts.opened) == 1


@virtual_time
async def test_a_path_that_opens_although_it_was_cancelled_is_closed():
    attempts = Attempts()
    attempts.opener.takes, attempts.opener.obstacle = 1.0, None
    attempts.opener.is_stubborn = True
    attempts.opening.start(at_once=True)
    await seconds(0.5)
    attempts.opening.stop()
    await settle()
    assert attempts.opened == []
    assert [path.is_closed for path in attempts.opener.paths] == [True]


async def test_an_error_of_the_program_is_reported_and_attempts_go_on():
    reported: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    opened = asyncio.Event()
    attempts = Attempts()
    attempts.opening._opened = lambda _: opened.set()
    attempts.opener.obstacle = RuntimeError("a bug")
    attempts.opening.start(at_once=True)
    await settle()
    attempts.opener.obstacle = None
    async with asyncio.timeout(20):
        await opened.wait()
    assert isinstance(reported[0]["exception"], RuntimeError)
