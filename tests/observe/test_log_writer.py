"""When the lines of the log are written: at a turn's end, at once, at the exit; and in order."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from quictunnel.cli.output import say
from quictunnel.observe.log_format import Lines
from quictunnel.observe.log_writer import MOST_LINES, TurnHandler
from quictunnel.observe.logging_setup import flush

log = logging.getLogger("a log of this test's own")


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


class Bare(Lines):
    """Lines of the message alone."""

    def line(self, moment, level, logger, message, fields, *, trace=()):
        return str(fields["word"]) if fields else message


@pytest.fixture
def stream():
    stream = Stream()
    handler = TurnHandler(stream, Bare())
    stream.handler = handler
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield stream
    log.removeHandler(handler)


async def test_a_turns_lines_are_one_write_at_its_end(stream):
    for word in "abc":
        log.info(word)
    assert stream.writes == []
    await asyncio.sleep(0)
    assert stream.writes == ["a\nb\nc\n"]
    log.info("d")
    await asyncio.sleep(0)
    assert stream.writes == ["a\nb\nc\n", "d\n"]


async def test_a_warning_is_written_at_once_behind_what_waits(stream):
    log.info("a")
    log.warning("b")
    assert stream.writes == ["a\nb\n"]
    await asyncio.sleep(0)
    assert stream.writes == ["a\nb\n"]


def test_without_a_loop_each_line_is_written_at_once(stream):
    log.info("a")
    assert stream.writes == ["a\n"]


def test_what_a_loop_left_behind_is_written_with_the_next_line(stream):
    """A loop that stops before its turn is over, and the next one, which has to be asked anew."""

    async def last_words(loop):
        log.info("a")
        loop.stop()

    loop = asyncio.new_event_loop()
    task = loop.create_task(last_words(loop))
    loop.run_forever()
    assert task.done()
    loop.close()
    assert stream.writes == []

    async def next_words():
        log.info("b")
        await asyncio.sleep(0)

    asyncio.run(next_words())
    assert stream.writes == ["a\nb\n"]


async def test_lines_do_not_pile_up(stream):
    for _ in range(MOST_LINES):
        log.info("line")
    assert stream.writes == ["line\n" * MOST_LINES]


@pytest.mark.parametrize("error", [OSError("a closed pipe"), ValueError("a closed file")])
async def test_what_cannot_be_written_is_dropped_and_harms_nobody(stream, error):
    stream.error = error
    log.info("a")
    await asyncio.sleep(0)
    log.warning("b")
    stream.error = None
    log.warning("c")
    assert stream.writes == ["c\n"]


class Unspeakable:
    def __str__(self):
        raise RuntimeError("a fault of ours")


async def test_what_cannot_be_said_is_dropped_and_harms_nobody(stream, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = stream.handler
    handler.say(0.0, logging.WARNING, log.name, "a", {"word": Unspeakable()})
    log.warning("%s", Unspeakable())
    handler.say(0.0, logging.WARNING, log.name, "b", {"word": "said"})
    assert stream.writes == ["said\n"]


async def test_what_is_printed_stands_behind_what_was_logged_before(stream, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [stream.handler])
    log.info("link stands")
    say("ready")
    assert stream.writes == ["link stands\n", "ready\n"]
    flush()
    assert len(stream.writes) == 2


PROGRAM = """
import asyncio, logging
from quictunnel.observe.logging_setup import fact, setup

async def main():
    fact(logging.getLogger("quictunnel.remote"), logging.INFO, "last words")
    {ending}

setup()
asyncio.run(main())
"""


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(1)", "raise MemoryError"])
def test_a_program_that_ends_says_its_last_words(ending):
    program = [sys.executable, "-c", PROGRAM.format(ending=ending)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert "remote  last words" in done.stderr
