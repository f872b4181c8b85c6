"""Checks run at the same time, in an order that their needs allow, and each with a deadline."""

from __future__ import annotations

import asyncio
import threading

from quictunnel.doctor.check import Check, LocalCheck
from quictunnel.doctor.examination import examine
from quictunnel.doctor.finding import Finding, Level, failed, ok, warning


class ScriptedCheck(Check):
    """A check with a result that a test chooses."""

    time_limit = 30.0

    def __init__(self, title: str, result: Finding | Exception | None, needs=()) -> None:
        self.title = title
        self.needs = needs
        self.started = asyncio.Event()
        self.released = asyncio.Event()
        self._result = result

    async def run(self) -> list[Finding]:
        self.started.set()
        if self._result is None:
            await self.released.wait()
            return [ok(self.title, "released")]
        if isinstance(self._result, Exception):
            raise self._result
        return [self._result]


class HangingCheck(ScriptedCheck):
    """A check that never ends, and has little time."""

    time_limit = 0.01


class ThreadCheck(LocalCheck):
    """A check that remembers its thread."""

    title = "thread"
    thread: threading.Thread

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def examine(self) -> list[Finding]:
        self.thread = threading.current_thread()
        if self._error is not None:
            raise self._error
        return [ok(self.title, "done")]


async def test_independent_checks_run_at_the_same_time_and_are_shown_in_order():
    first, second = ScriptedCheck("first", None), ScriptedCheck("second", None)
    shown = []
    running = asyncio.create_task(examine([first, second], shown.append))
    await first.started.wait()
    await second.started.wait()
    second.released.set()
    await asyncio.sleep(0)
    assert not shown
    first.released.set()
    findings = await running
    assert [finding.title for finding in findings] == ["first", "second"]
    assert shown == findings


async def test_a_check_is_skipped_if_one_that_it_needs_has_failed():
    first = ScriptedCheck("first", failed("first", "broken", "repair it"))
    second = ScriptedCheck("second", ok("second", "good"), needs=[first])
    third = ScriptedCheck("third", ok("third", "good"), needs=[second])
    findings = await examine([first, second, third], lambda _: None)
    assert [finding.level for finding in findings] == [Level.FAILED, Level.SKIPPED, Level.SKIPPED]
    assert findings[1].sentence == "not checked, because of: first"
    assert not second.started.is_set()


async def test_a_warning_skips_nothing():
    first = ScriptedCheck("first", warning("first", "poor", "improve it"))
    second = ScriptedCheck("second", ok("second", "good"), needs=[first])
    findings = await examine([first, second], lambda _: None)
    assert [finding.level for finding in findings] == [Level.WARNING, Level.OK]


async def test_a_check_that_does_not_end_has_failed():
    (finding,) = await examine([HangingCheck("hanging", None)], lambda _: None)
    assert finding.level is Level.FAILED
    assert finding.sentence == "no result within 0.01 s"


async def test_a_check_with_a_fault_does_not_hide_the_others(caplog):
    checks = [ScriptedCheck("bad", KeyError("x")), ScriptedCheck("good", ok("good", "good"))]
    findings = await examine(checks, lambda _: None)
    assert [finding.level for finding in findings] == [Level.FAILED, Level.OK]
    assert "KeyError" in findings[0].sentence
    assert "internal error in a check" in caplog.text


async def test_a_local_check_runs_in_a_thread_that_does_not_delay_the_exit():
    check = ThreadCheck()
    (finding,) = await examine([check], lambda _: None)
    assert finding.level is Level.OK
    assert check.thread is not threading.main_thread()
    assert check.thread.daemon


async def test_the_error_of_a_local_check_is_reported():
    (finding,) = await examine([ThreadCheck(OSError("no such thing"))], lambda _: None)
    assert finding.level is Level.FAILED
    assert "no such thing" in finding.sentence
