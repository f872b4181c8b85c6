"""When log lines are written: a moment later, at once, or at exit; and in which order."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import pytest

from quictunnel.cli.logging_setup import flush
from quictunnel.cli.output import print_line
from quictunnel.events import Event
from quictunnel.observe.batch import MAX_DELAY, MAX_ITEMS
from quictunnel.observe.line_writer import NOT_READ, writer_of
from quictunnel.observe.log_format import EventRecord, JsonFormatter
from quictunnel.observe.log_writer import BatchHandler
from testkit.clock import virtual_time

log = logging.getLogger("a log of this test's own")


def log_event(word, level=logging.INFO):
    log.handle(EventRecord(log.name, level, word, Event()))


class Stream:
    """A stream that keeps apart what is written apart, and may fail."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.error: Exception | None = None

    def write(self, text):
        if self.error is not None:
            raise self.error
        self.writes.append(text)

    def flush(self):
        pass


@pytest.fixture
def stream():
    stream = Stream()
    handler = BatchHandler(writer_of(stream), stream)
    stream.handler = handler
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield stream
    log.removeHandler(handler)


@virtual_time
async def test_events_of_a_moment_are_one_write(stream):
    for word in "abc":
        log_event(word)
    assert stream.writes == []
    await asyncio.sleep(2 * MAX_DELAY)
    assert stream.writes == ["a\nb\nc\n"]
    log_event("d")
    await asyncio.sleep(2 * MAX_DELAY)
    assert stream.writes == ["a\nb\nc\n", "d\n"]


@virtual_time
async def test_a_warning_is_written_at_once_behind_what_waits(stream):
    log_event("a")
    log_event("b", logging.WARNING)
    assert stream.writes == ["a\nb\n"]
    await asyncio.sleep(2 * MAX_DELAY)
    assert stream.writes == ["a\nb\n"]


async def test_a_record_of_another_library_is_written_at_once(stream):
    words = ["a"]
    log.info("%s", words)
    words.append("changed later")
    assert stream.writes == ["['a']\n"]


def test_without_a_loop_each_line_is_written_at_once(stream):
    log_event("a")
    assert stream.writes == ["a\n"]


def test_what_a_loop_left_behind_is_written_with_the_next_line(stream):
    """A loop that stops before its turn is over, and the next one, which has to be asked anew."""

    async def last_words(loop):
        log_event("a")
        loop.stop()

    loop = asyncio.new_event_loop()
    task = loop.create_task(last_words(loop))
    loop.run_forever()
    assert task.done()
    loop.close()
    assert stream.writes == []

    async def next_words():
        log_event("b")
        await asyncio.sleep(2 * MAX_DELAY)

    asyncio.run(next_words())
    assert stream.writes == ["a\nb\n"]


async def test_lines_do_not_pile_up(stream):
    for _ in range(MAX_ITEMS):
        log_event("line")
    assert stream.writes == ["line\n" * MAX_ITEMS]


@pytest.mark.parametrize("error", [OSError("a closed pipe"), ValueError("a closed file")])
async def test_what_cannot_be_written_is_dropped_and_harms_nobody(stream, error):
    stream.error = error
    log_event("a")
    await asyncio.sleep(2 * MAX_DELAY)
    log.warning("b")
    stream.error = None
    log.warning("c")
    assert stream.writes == ["c\n"]


class Unprintable:
    def __str__(self):
        raise RuntimeError("a bug")


async def test_a_record_that_cannot_be_formatted_is_dropped(stream, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.warning("%s", Unprintable())
    log.warning("printed")
    assert "".join(stream.writes) == "printed\n"


def test_lines_of_another_thread_are_written_at_once(stream):
    async def main():
        log_event("a")
        await asyncio.to_thread(log.warning, "b")

    asyncio.run(main())
    assert "".join(stream.writes) == "a\nb\n"


async def test_what_is_printed_stands_behind_what_was_logged_before(stream, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [stream.handler])
    log_event("link established")
    print_line("ready")
    assert stream.writes == ["link established\n", "ready\n"]
    flush()
    assert len(stream.writes) == 2


def test_the_report_of_lost_lines_has_the_format_of_the_log():
    class Paused:
        def write(self, _text, describe_loss):
            reports.append(describe_loss(2, NOT_READ))

    reports = []
    handler = BatchHandler(Paused(), None)
    handler.setFormatter(JsonFormatter())
    handler.handle(logging.LogRecord(log.name, logging.WARNING, "", 0, "lost", None, None))
    (report,) = map(json.loads, reports)
    del report["time"]
    assert report == {
        "level": "warning",
        "logger": "quictunnel.log",
        "message": "log lines lost",
        "count": 2,
        "reason": NOT_READ,
    }


PROGRAM = """
import asyncio, logging
from quictunnel.cli.logging_setup import setup

from quictunnel.events import SignalReceived
from quictunnel.observe.event_log import EventLog

async def main():
    EventLog(logging.getLogger("quictunnel.remote"))(SignalReceived("last words"))
    {ending}

setup("text", None)
asyncio.run(main())
"""


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(1)", "raise MemoryError"])
def test_a_program_that_ends_says_its_last_words(ending):
    program = [sys.executable, "-c", PROGRAM.format(ending=ending)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert "last words" in done.stderr
