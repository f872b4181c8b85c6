"""The access log as a sink of events, and its file."""

from __future__ import annotations

import asyncio
import errno
import os
import time

import pytest
from access_events import closed, rejected

from quictunnel.events import (
    AccessLogLinesLost,
    AccessLogNotReopened,
    ClientAccepted,
    DrainStarted,
)
from quictunnel.observe import log_file
from quictunnel.observe.access_log import AccessLog, FileAccessLog
from quictunnel.observe.access_log_format import combined_line, text_line
from quictunnel.observe.batch import MAX_ITEMS
from testkit.programs import PATIENCE


class Writer:
    """Remembers what was written at once."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.error = None

    def write(self, text, _describe_loss) -> None:
        self.writes.append(text)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def short_line(_at, event) -> str:
    return str(event.ending if hasattr(event, "ending") else event.kind)


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture
def log(writer):
    return AccessLog(writer, short_line, describe_loss=lambda lost, why: f"{lost} {why}")


async def until(condition) -> None:
    """Wait until a thread has done something."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_lines_of_one_moment_are_one_write(writer, log):
    for _ in range(3):
        log(closed())
    log(rejected())
    assert writer.writes == []
    await until(lambda: writer.writes)
    assert writer.writes == ["eof\neof\neof\npolicy\n"]


async def test_many_lines_do_not_wait(writer, log):
    for _ in range(MAX_ITEMS):
        log(closed())
    assert len(writer.writes) == 1


async def test_other_events_have_no_line(writer, log):
    log(ClientAccepted("192.0.2.7:1", "web", "id"))
    log(DrainStarted(0, 1.0))
    log.close()
    assert writer.writes == []


def test_without_an_event_loop_a_line_is_written_at_once(writer, log):
    log(closed())
    assert writer.writes == ["eof\n"]


async def test_the_time_is_that_of_the_event():
    writer = Writer()
    log = AccessLog(writer, lambda at, _: f"{at}", describe_loss=lambda *_: "")
    before = time.time()
    log(closed())
    after = time.time()
    await asyncio.sleep(0)
    log.close()
    assert before <= float(writer.writes[0]) <= after


class Full:
    """A disk that is full, or not."""

    def __init__(self, monkeypatch) -> None:
        self.is_full = True
        self._write = os.write
        monkeypatch.setattr(log_file.os, "write", self.write)

    def write(self, descriptor, data) -> int:
        if self.is_full and len(data) > 1:  # the loop wakes up with one byte
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)


async def test_a_full_disk_is_reported_and_the_log_goes_on(tmp_path, monkeypatch):
    events = []
    disk = Full(monkeypatch)
    log = FileAccessLog(tmp_path / "log", text_line, events.append)
    log.log(closed())
    log.log(closed())
    await until(lambda: events)
    name = str(tmp_path / "log")
    assert events == [AccessLogLinesLost(name, 2, "no space left on device")]
    disk.is_full = False
    log.log(closed(bytes_up=4321))
    await until(lambda: "bytes_up=4321" in (tmp_path / "log").read_text())
    log.close()
    assert (tmp_path / "log").read_text().count("\n") == 1


async def test_a_full_disk_is_reported_once_a_minute(tmp_path, monkeypatch):
    events = []
    Full(monkeypatch)
    log = FileAccessLog(tmp_path / "log", text_line, events.append)
    for count in range(1, 4):
        log.log(closed())
        log.log.close()
        await until(lambda lost=count: _lost(events, log) == lost)
    assert [event.count for event in events] == [1]
    log.close()
    assert [event.count for event in events] == [1, 2], "the rest is reported at the end"


def _lost(events, log) -> int:
    return sum(event.count for event in events) + log._losses._lost


async def test_a_failure_to_reopen_is_reported(tmp_path):
    events = []
    path = tmp_path / "folder" / "log"
    path.parent.mkdir()
    log = FileAccessLog(path, combined_line, events.append)
    path.unlink()
    path.parent.rmdir()
    log.log.reopen()
    await until(lambda: events)
    assert events == [AccessLogNotReopened(str(path), "no such file or directory")]
    path.parent.mkdir()
    log.log.reopen()
    await until(path.exists)
    log.close()


async def test_the_end_of_the_loop_does_not_end_the_thread(tmp_path, monkeypatch):
    events = []
    disk = Full(monkeypatch)
    log = FileAccessLog(tmp_path / "log", text_line, events.append)
    log._losses._loop = asyncio.new_event_loop()
    log._losses._loop.close()
    log.log(closed())
    log.log.close()
    await until(lambda: log._writer._size == 0)
    disk.is_full = False
    log.log(closed())
    log.log.close()
    await until((tmp_path / "log").read_text)
    log.close()
    assert events == []
