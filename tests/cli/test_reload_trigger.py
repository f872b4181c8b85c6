"""When a configuration file is read again, and what a bad one causes. Programs: tests/e2e."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import SimpleNamespace

import pytest

from quictunnel.cli import reload as module
from quictunnel.cli.file_watch import INTERVAL
from quictunnel.cli.logging_setup import setup
from quictunnel.cli.reload import Reload
from quictunnel.errors import SettingsError
from quictunnel.events import (
    ConfigurationRejected,
    ConfigurationReloaded,
    InternalErrorOccurred,
)
from testkit.clock import virtual_time


class Watched:
    """A configuration file and a token file, and what happens when they change."""

    def __init__(self, folder, monkeypatch) -> None:
        self.file = folder / "origin.toml"
        self.tokens = folder / "tokens"
        self.file.write_text("1")
        self.tokens.write_text("1")
        self.events = []
        self.applied = []
        self.failure: Exception | None = None
        self.pending: set[str] = set()
        monkeypatch.setattr(module, "_prepare_again", self.prepare)
        self.reload = Reload(SimpleNamespace(), self.file, [self.tokens])

    def prepare(self, _ctx):
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(text=self.file.read_text(), files=(self.tokens,))

    def apply(self, prepared):
        self.applied.append(prepared.text)
        return self.pending

    @contextlib.asynccontextmanager
    async def watching(self):
        task = asyncio.ensure_future(self.reload.watch(self.apply, self.events.append))
        await asyncio.sleep(INTERVAL * 1.5)
        yield
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def watched(tmp_path, monkeypatch):
    return Watched(tmp_path, monkeypatch)


@virtual_time
async def test_a_file_that_stays_the_same_is_not_read_again(watched):
    async with watched.watching():
        await asyncio.sleep(60)
    assert (watched.applied, watched.events) == ([], [])


@virtual_time
async def test_a_change_is_applied_once_the_file_stays_the_same(watched):
    async with watched.watching():
        for text in ("22", "333", "4444"):  # an editor that writes in pieces
            watched.file.write_text(text)
            await asyncio.sleep(INTERVAL)
            assert watched.applied == []
        await asyncio.sleep(INTERVAL)
        assert watched.applied == ["4444"]
        await asyncio.sleep(60)
    assert watched.applied == ["4444"]
    assert watched.events == [ConfigurationReloaded(str(watched.file), ())]


@virtual_time
async def test_a_changed_token_file_counts_too(watched):
    async with watched.watching():
        watched.tokens.write_text("22")
        await asyncio.sleep(3 * INTERVAL)
    assert watched.applied == ["1"]


@pytest.mark.parametrize("failure", [SettingsError("no such key"), FileNotFoundError(2, "No such")])
def test_a_bad_file_is_reported_once_and_a_good_one_applied_later(watched, failure):
    @virtual_time
    async def story():
        async with watched.watching():
            watched.failure = failure
            watched.file.unlink()
            await asyncio.sleep(10 * INTERVAL)
            (event,) = watched.events
            assert isinstance(event, ConfigurationRejected)
            assert event.reason in ("no such key", "no such")
            assert watched.reload.is_rejected
            watched.failure = None
            watched.file.write_text("2")
            await asyncio.sleep(3 * INTERVAL)
        assert watched.applied == ["2"]
        assert not watched.reload.is_rejected

    story()


def test_a_bad_file_does_not_change_the_log(watched, monkeypatch):
    def prepare(_):
        setup("json", "debug")
        raise SettingsError("a bad file")

    log = logging.getLogger("quictunnel")
    monkeypatch.setattr(log, "level", logging.WARNING)
    monkeypatch.setattr(module, "_prepare_again", prepare)
    handlers = logging.getLogger().handlers[:]
    watched.reload.reload(watched.apply, watched.events.append)
    assert (logging.getLogger().handlers, log.level) == (handlers, logging.WARNING)


@virtual_time
async def test_a_bug_ends_neither_the_role_nor_the_watch(watched):
    async with watched.watching():
        watched.failure = ZeroDivisionError()
        watched.file.write_text("22")
        await asyncio.sleep(3 * INTERVAL)
        assert isinstance(watched.events[0], InternalErrorOccurred)
        watched.failure = None
        watched.file.write_text("333")
        await asyncio.sleep(3 * INTERVAL)
    assert watched.applied == ["333"]


@virtual_time
async def test_a_file_that_a_reload_names_is_watched_from_then_on(watched, tmp_path):
    async with watched.watching():
        watched.tokens = tmp_path / "other"
        watched.tokens.write_text("1")
        watched.file.write_text("22")
        await asyncio.sleep(3 * INTERVAL)
        watched.tokens.write_text("22")
        await asyncio.sleep(3 * INTERVAL)
    assert watched.applied == ["22", "22"]


def test_keys_that_need_a_restart_are_named_as_in_the_file(watched):
    watched.pending = {"unread_limit", "trusted_proxies", "hold"}
    watched.reload.reload(watched.apply, watched.events.append)
    (event,) = watched.events
    assert event.restart_needed == ("hold", "trusted-proxy", "unread-limit")


@virtual_time
async def test_a_reload_on_request_is_not_repeated(watched):
    async with watched.watching():
        watched.file.write_text("22")
        watched.reload.reload(watched.apply, watched.events.append)
        await asyncio.sleep(10 * INTERVAL)
    assert watched.applied == ["22"]
