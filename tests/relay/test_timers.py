"""Many who wait for the same time: who is told, when, and by how many timers."""

from __future__ import annotations

import asyncio

import pytest

from quictunnel.relay.timers import SharedTimer
from testkit.clock import seconds, virtual_time


class Case:
    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.loop = asyncio.get_running_loop()
        self.timers = 0
        call_at = self.loop.call_at

        def counted(*args, **kwargs):
            self.timers += 1
            return call_at(*args, **kwargs)

        self.loop.call_at = counted
        self.deadlines = SharedTimer(10.0, self.over)

    def over(self, who):
        self.told.append((who, round(self.loop.time(), 3)))


@virtual_time
async def test_each_is_told_once_when_its_own_time_is_over():
    case = Case()
    case.deadlines.start("a")
    await seconds(0.3)
    case.deadlines.start("b")
    case.deadlines.start("c")
    await seconds(20)
    assert case.told == [("a", 10), ("b", 10.3), ("c", 10.3)]
    assert len(case.deadlines) == 0


@virtual_time
async def test_who_ends_is_not_told():
    case = Case()
    for who in "abc":
        case.deadlines.start(who)
    case.deadlines.cancel("b")
    case.deadlines.cancel("b")
    case.deadlines.cancel("nobody")
    await seconds(20)
    assert [who for who, _ in case.told] == ["a", "c"]


@virtual_time
async def test_beginning_again_is_beginning_anew():
    case = Case()
    case.deadlines.start("a")
    await seconds(9)
    case.deadlines.start("b")
    case.deadlines.start("a")
    await seconds(20)
    assert case.told == [("b", 19), ("a", 19)]


@virtual_time
async def test_all_may_begin_anew_at_once():
    case = Case()
    case.deadlines.start("a")
    await seconds(5)
    case.deadlines.start("b")
    await seconds(4)
    case.deadlines.restart_all()
    await seconds(20)
    assert case.told == [("a", 19), ("b", 19)]


@virtual_time
async def test_many_who_come_and_go_cost_one_timer():
    case = Case()
    for number in range(1000):
        case.deadlines.start(number)
        case.deadlines.cancel(number)
    assert case.timers == 1
    await seconds(9)
    case.deadlines.start("a")
    await seconds(9.5)
    assert case.told == []
    await seconds(1)
    assert case.told == [("a", 19)]


@virtual_time
async def test_one_who_is_told_may_begin_anew_and_end_others():
    case = Case()

    def over(who):
        case.over(who)
        case.deadlines.cancel("b")
        if len(case.told) < 3:
            case.deadlines.start(who)

    case.deadlines._expired = over
    case.deadlines.start("a")
    case.deadlines.start("b")
    await seconds(100)
    assert case.told == [("a", 10), ("a", 20), ("a", 30)]


def test_a_fault_in_one_does_not_make_the_others_wait():
    async def story():
        case = Case()
        failures = []
        case.loop.set_exception_handler(lambda _, context: failures.append(context))

        def over(who):
            case.over(who)
            if who == "a":
                raise RuntimeError("a fault")

        case.deadlines._expired = over
        case.deadlines.start("a")
        case.deadlines.start("b")
        await seconds(20)
        assert [who for who, _ in case.told] == ["a", "b"]
        assert len(failures) == 1
        case.loop.set_exception_handler(None)

    virtual_time(story)()


@pytest.mark.parametrize("count", [1, 100])
def test_they_wait_on_the_loop_they_were_made_for(count):
    @virtual_time
    async def story():
        told = []
        deadlines = SharedTimer(1.0, told.append, asyncio.get_running_loop())
        for number in range(count):
            deadlines.start(number)
        await seconds(1)
        assert told == list(range(count))

    story()
