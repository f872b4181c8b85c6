"""Signals and a role that runs."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from quictunnel.cli import role_runner
from quictunnel.cli.run_control import RunControl
from quictunnel.errors import LinkFailed, SettingsError
from quictunnel.events import SignalReceived, discard_event


class FakeRole:
    """A role that ends when it is aborted, or when it drains without clients."""

    def __init__(self, *, has_clients=False, start_error=None, start_forever=False, is_stuck=False):
        self.calls = []
        self.begun = asyncio.Event()
        self.drained = asyncio.Event()
        self._has_clients = has_clients
        self._start_error = start_error
        self._start_forever = start_forever
        self._is_stuck = is_stuck
        self._ended = asyncio.Event()

    async def start(self):
        self.calls.append("start")
        self.begun.set()
        if self._start_error:
            raise self._start_error
        if self._start_forever:
            await asyncio.Event().wait()

    async def wait_closed(self):
        await self._ended.wait()

    def drain(self):
        self.calls.append("drain")
        self.drained.set()
        if not self._has_clients:
            self._ended.set()

    def abort(self):
        self.calls.append("abort")
        if not self._is_stuck:
            self._ended.set()


async def run(role, started=lambda: None, emit=discard_event):
    await role_runner.run(role, started, emit=emit)


def send(number):
    os.kill(os.getpid(), number)


async def signals_handled():
    """Wait until the event loop has handled the signals sent so far: it handles them in order."""
    loop, handled = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, handled.set)
    try:
        send(signal.SIGUSR1)
        await handled.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


BOTH = [signal.SIGINT, signal.SIGTERM]
"""Those that end at once when they come again."""


@pytest.fixture(params=BOTH, ids=["SIGINT", "SIGTERM"])
def number(request):
    return request.param


async def test_the_first_signal_drains(number):
    role, events = FakeRole(), []
    await run(role, lambda: send(number), events.append)
    assert role.calls[:2] == ["start", "drain"]
    assert events == [SignalReceived(number.name)]


async def test_the_second_signal_ends_at_once(number):
    role = FakeRole(has_clients=True)
    running = asyncio.ensure_future(run(role, lambda: send(number)))
    await role.drained.wait()
    assert not running.done()
    send(number)
    await running
    assert role.calls[:3] == ["start", "drain", "abort"]


async def test_repeated_sighup_does_not_end_the_drain():
    role = FakeRole(has_clients=True)
    running = asyncio.ensure_future(run(role, lambda: send(signal.SIGHUP)))
    await role.drained.wait()
    for _ in range(2):
        send(signal.SIGHUP)
        await signals_handled()
    assert role.calls == ["start", "drain"]
    assert not running.done()
    send(signal.SIGINT)
    await running
    assert role.calls[:3] == ["start", "drain", "abort"]
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


async def test_sighup_after_another_signal_does_not_end_the_drain(number):
    role = FakeRole(has_clients=True)
    running = asyncio.ensure_future(run(role, lambda: send(number)))
    await role.drained.wait()
    send(signal.SIGHUP)
    await signals_handled()
    assert role.calls == ["start", "drain"]
    send(number)
    await running


async def test_a_terminal_that_closes_is_nothing_to_who_is_to_outlive_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        role = FakeRole()
        running = asyncio.ensure_future(run(role, role.drained.set))
        await role.drained.wait()
        send(signal.SIGHUP)
        send(signal.SIGTERM)
        await running
        assert role.calls[:2] == ["start", "drain"]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_role_that_does_not_end_is_left_behind(number, monkeypatch):
    monkeypatch.setattr("quictunnel.cli.role_runner.ABORT_TIMEOUT", 0)
    role = FakeRole(has_clients=True, is_stuck=True)
    running = asyncio.ensure_future(run(role, lambda: send(number)))
    await role.drained.wait()
    send(number)
    await running
    assert role.calls[:3] == ["start", "drain", "abort"]


async def test_a_signal_during_the_start_ends_it(number):
    role = FakeRole(start_forever=True)
    running = asyncio.ensure_future(run(role))
    await role.begun.wait()
    send(number)
    await running
    assert role.calls == ["start", "abort"]


async def test_being_cancelled_is_not_taken_for_a_signal():
    role = FakeRole()
    running = asyncio.ensure_future(run(role))
    await role.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert role.calls[-1] == "abort"


async def test_handlers_are_as_before_at_the_end(number):
    before = signal.getsignal(number)
    await run(FakeRole(), lambda: send(number))
    assert signal.getsignal(number) is before


async def test_a_start_that_fails_is_heard_of():
    with pytest.raises(SettingsError, match="taken"):
        await run(FakeRole(start_error=SettingsError("taken")))


async def test_a_failure_when_ready_ends_the_role():
    role = FakeRole()

    def fail():
        raise LinkFailed("no")

    with pytest.raises(LinkFailed):
        await run(role, fail)
    assert role.calls == ["start", "abort"]


async def test_a_watch_runs_from_when_the_role_works_until_it_ends():
    role, seen = FakeRole(), []

    async def watch():
        seen.append(role.calls[:])
        send(signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    await role_runner.run(role, emit=discard_event, watch=watch)
    await asyncio.sleep(0)
    assert seen == [["start"], "cancelled"]


async def test_after_a_drain_by_a_command_the_first_signal_aborts():
    role, control = FakeRole(has_clients=True), RunControl()
    running = asyncio.create_task(role_runner.run(role, emit=discard_event, control=control))
    await role.begun.wait()
    await asyncio.sleep(0.01)
    control.drain()
    control.drain()
    assert role.calls == ["start", "drain"]
    send(signal.SIGTERM)
    await running
    assert role.calls[:3] == ["start", "drain", "abort"]
