"""A writer in a thread: the caller never waits for long, and lost lines are counted."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import termios
import threading
import time
import tty

import pytest

from quictunnel.observe import line_writer
from quictunnel.observe.line_writer import (
    MAX_WAITING,
    NOT_READ,
    Descriptor,
    LineWriter,
    StreamWriter,
    writer_of,
)
from testkit.programs import PATIENCE

LINE = "x" * 99 + "\n"

MANY = 4 * MAX_WAITING // len(LINE)
"""Lines for which there is no room."""


def describe(lost: int, reason: str) -> str:
    return f"lost {lost}: {reason}"


class Reader:
    """The reading end of a pipe or terminal."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.text = ""

    def read_until(self, pattern: str) -> str:
        """Read until the pattern is in the text; return the text so far."""
        os.set_blocking(self.descriptor, False)
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"{pattern!r} is not in {self.text[-200:]!r}"
            try:
                self.text += os.read(self.descriptor, 1 << 16).decode()
            except BlockingIOError:
                time.sleep(0.001)
        return self.text

    def close(self) -> None:
        """Close it. A blocked write ends with EPIPE."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Disk:
    """Takes the place of `os.write`. A full disk has room for `room` bytes."""

    def __init__(self) -> None:
        self.content = b""
        self.room: int | None = None
        self.error = errno.ENOSPC

    def write(self, _descriptor: int, data: memoryview) -> int:
        part = bytes(data if self.room is None else data[: self.room])
        if not part:
            raise OSError(self.error, os.strerror(self.error))
        if self.room is not None:
            self.room -= len(part)
        self.content += part
        return len(part)


@pytest.fixture
def pipe():
    """A writer to a pipe, and the pipe's reader."""
    reader, descriptor = os.pipe()
    writer, end = LineWriter(Descriptor(descriptor)), Reader(reader)
    yield writer, end
    end.close()
    writer.close()
    os.close(descriptor)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(line_writer.os, "write", disk.write)
    return disk


@pytest.fixture
def on_disk(disk):
    """A writer to the disk."""
    writer = LineWriter(Descriptor(-1))
    yield writer
    writer.close()


def test_lines_are_written_in_order(pipe):
    writer, reader = pipe
    for number in range(1000):
        writer.write(f"{number}\n", describe)
    assert reader.read_until("\n999\n") == "".join(f"{number}\n" for number in range(1000))


def test_flush_returns_when_the_lines_are_written(pipe):
    writer, reader = pipe
    writer.write("first\n", describe)
    writer.flush()
    assert os.read(reader.descriptor, 100) == b"first\n"


def test_a_paused_reader_does_not_block_the_caller_and_gets_the_count(pipe):
    writer, reader = pipe
    for number in range(MANY):
        writer.write(f"{number:>8} {LINE[9:]}", describe)
    writer.flush()
    writer.flush()
    text = reader.read_until(f"lost .*{NOT_READ}\n")
    *lines, report = text.splitlines()
    assert report == f"lost {MANY - len(lines)}: {NOT_READ}"
    assert writer.lost == MANY - len(lines)
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    assert len(text) <= MAX_WAITING + (1 << 16) + len(LINE)
    writer.write("afterwards\n", describe)
    assert reader.read_until("afterwards").endswith(f"{report}\nafterwards\n")


def test_flush_waits_in_vain_only_once(pipe, monkeypatch):
    writer, reader = pipe
    waits = []
    wait = writer._wait_until_written
    monkeypatch.setattr(
        writer, "_wait_until_written", lambda within: waits.append(within) or wait(within)
    )
    writer.write(LINE * 2000, describe)
    for _ in range(5):
        writer.flush()
    assert len(waits) == 1
    reader.read_until(f"({LINE}){{2000}}")
    writer._wait_until_written(PATIENCE)
    writer.flush()
    assert len(waits) == 3


def test_a_stopped_terminal_does_not_block_the_caller():
    controller, terminal = os.openpty()
    tty.setraw(terminal)
    termios.tcflow(terminal, termios.TCOOFF)
    writer = LineWriter(Descriptor(terminal))
    for _ in range(MANY):
        writer.write(LINE, describe)
    writer.close()
    termios.tcflow(terminal, termios.TCOON)
    reader = Reader(controller)
    lines = reader.read_until("x\n").splitlines()
    assert lines[0] == LINE.strip()
    os.close(controller)
    os.close(terminal)


def test_the_flags_of_the_descriptor_stay_as_they_are(pipe):
    writer, reader = pipe
    before = fcntl.fcntl(writer._destination._number, fcntl.F_GETFL)
    writer.write(LINE, describe)
    reader.read_until("x\n")
    assert fcntl.fcntl(writer._destination._number, fcntl.F_GETFL) == before


def test_a_pipe_that_another_program_has_made_non_blocking(pipe):
    writer, reader = pipe
    os.set_blocking(writer._destination._number, False)
    text = "".join(f"{number:099}\n" for number in range(5000))
    writer.write(text, describe)
    assert reader.read_until(f"{4999:099}\n") == text


def test_a_closed_pipe_harms_nothing(pipe):
    writer, reader = pipe
    reader.close()
    writer.write("a\n", describe)
    writer.flush()
    assert writer.error.errno == errno.EPIPE
    writer.write("b\n", describe)
    writer.flush()
    assert writer._failed == 2


def test_a_full_disk_is_reported_before_the_next_line(disk, on_disk):
    on_disk.write("a\n", describe)
    on_disk.flush()
    disk.room = 0
    for line in ("b\nc\n", "d\n"):
        on_disk.write(line, describe)
        on_disk.flush()
    assert on_disk.error.errno == errno.ENOSPC
    disk.room = None
    on_disk.write("e\n", describe)
    on_disk.flush()
    assert on_disk.error is None
    assert disk.content.decode() == "a\nlost 3: no space left on device\ne\n"


def test_a_line_that_was_cut_is_ended_and_counts_as_lost(disk, on_disk):
    disk.room = 4
    on_disk.write("a\nbbbb\n", describe)
    on_disk.flush()
    disk.room = None
    on_disk.write("c\n", describe)
    on_disk.flush()
    assert disk.content.decode() == "a\nbb\nlost 1: no space left on device\nc\n"


def test_a_loss_that_cannot_be_reported_is_reported_later(disk, on_disk):
    disk.room = 0
    for line in ("a\n", "b\n", "c\n"):
        on_disk.write(line, describe)
        on_disk.flush()
    disk.room = 10  # not enough for the report
    on_disk.write("d\n", describe)
    on_disk.flush()
    disk.room = None
    on_disk.write("e\n", describe)
    on_disk.flush()
    assert disk.content.decode().splitlines()[1:] == ["lost 4: no space left on device", "e"]
    assert on_disk.lost == 4


def test_losses_are_reported_elsewhere_if_that_is_asked_for(disk):
    losses = []
    writer = LineWriter(Descriptor(-1), report_loss=lambda lost, why: losses.append((lost, why)))
    disk.room = 0
    writer.write("a\nb\n", describe)
    writer.flush()
    assert losses == [(2, "no space left on device")], "at once, not with the next line"
    assert writer.lost == 2
    disk.room = None
    writer.write("c\n", describe)
    writer.flush()
    assert disk.content == b"c\n"
    writer.close()


def test_lines_for_which_there_is_no_room_are_reported_elsewhere_too():
    reader, descriptor = os.pipe()
    losses = []
    writer = LineWriter(
        Descriptor(descriptor), report_loss=lambda lost, why: losses.append((lost, why))
    )
    for _ in range(MANY):
        writer.write(LINE, describe)
    end = Reader(reader)
    end.read_until(r"x\n")
    while not losses:
        end.text = ""
        end.read_until(r"x")
    assert losses[0][1] == NOT_READ
    assert losses[0][0] < MANY
    end.close()
    writer.close()
    os.close(descriptor)


def test_a_character_that_the_encoding_lacks_is_escaped(pipe):
    _, reader = pipe
    writer = LineWriter(pipe[0]._destination, "ascii")
    writer.write("grüße\n", describe)
    writer.close()
    assert reader.read_until("\n") == r"gr\xfc\xdfe" + "\n"


def test_close_writes_the_rest_and_ends_the_thread(pipe):
    writer, reader = pipe
    writer.write("a\n", describe)
    writer.close()
    assert os.read(reader.descriptor, 100) == b"a\n"
    writer._thread.join(PATIENCE)
    assert not writer._thread.is_alive()
    writer.write("too late\n", describe)
    assert writer._size == 0


def test_close_does_not_wait_for_a_paused_reader(pipe, monkeypatch):
    monkeypatch.setattr(line_writer, "CLOSE_WITHIN", 0.01)
    writer, _ = pipe
    writer.write(LINE * 2000, describe)
    writer.close()
    assert writer._size == 2000 * len(LINE)
    assert writer._thread.daemon


def test_without_a_thread_lines_are_written_by_the_caller(monkeypatch, tmp_path):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with (tmp_path / "log").open("w") as stream:
        writer_of(stream).write("a\n", describe)
        assert (tmp_path / "log").read_text() == "a\n"


def test_a_stream_without_a_descriptor_is_written_at_once():
    stream = io.StringIO()
    writer = writer_of(stream)
    assert isinstance(writer, StreamWriter)
    writer.write("a\n", describe)
    writer.flush()
    writer.close()
    assert stream.getvalue() == "a\n"


def test_what_a_stream_has_buffered_comes_first(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        stream.write("first\n")
        writer = writer_of(stream)
        writer.write("second\n", describe)
        writer.close()
    assert (tmp_path / "log").read_text() == "first\nsecond\n"
