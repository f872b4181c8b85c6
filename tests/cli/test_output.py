"""Standard streams that are closed, full or without a reader, and Ctrl-C during the start."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quictunnel.__main__ import main
from quictunnel.cli import logging_setup
from quictunnel.cli.main import invoke
from quictunnel.cli.output import in_background, print_error, print_if_writable, print_line
from quictunnel.observe import line_writer

PROGRAM = f"{sys.executable} -m quictunnel"


def shell(command: str) -> subprocess.CompletedProcess:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_printed_is_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", Full())
    assert invoke(["token", "new"]) == 1
    assert capsys.readouterr().err == (
        "quictunnel: standard output cannot be written: no space left on device\n"
    )


def test_a_sentence_that_cannot_be_printed_is_still_an_exit_code(monkeypatch):
    monkeypatch.setattr("sys.stderr", Full())
    assert invoke(["remote", "--hold", "soon"]) == 2


def test_streams_that_were_closed_before_the_start_are_no_failure():
    done = shell(f"{PROGRAM} demo --once <&- >&-")
    assert (done.returncode, done.stderr) == (0, "")
    done = shell(f"{PROGRAM} remote --hold soon 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_demo_whose_reader_has_seen_enough_goes_on():
    done = shell(f"({PROGRAM} demo --once; echo $? >&2) | head -n 1")
    assert (done.stdout.count("\n"), done.stderr) == (1, "0\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_role_whose_ready_line_cannot_be_printed_fails():
    done = shell(f"{PROGRAM} demo --once >/dev/full")
    sentence = "quictunnel: standard output cannot be written: no space left on device\n"
    assert (done.returncode, done.stderr) == (1, sentence)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_role_whose_log_cannot_be_written_works():
    done = shell(f"{PROGRAM} demo --once --log-level debug 2>/dev/full")
    assert done.returncode == 0
    assert "ready: " in done.stdout


@pytest.fixture
def paused():
    """Standard output and standard error, a pipe that is full; and its reader."""
    reader, descriptor = os.pipe()
    os.set_blocking(descriptor, False)
    for blank in (b"\n" * 1024, b"\n"):  # until no byte fits
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(descriptor, blank)
    os.set_blocking(descriptor, True)
    with os.fdopen(reader, "rb", buffering=0) as pipe, os.fdopen(descriptor, "w") as stream:
        yield stream, pipe


def lines_of(pipe, last: str) -> list[str]:
    """Read until the last line has come, and return the lines that were printed."""
    text = b""
    while not text.endswith(f"{last}\n".encode()):
        text += pipe.read(1 << 16)
    return [line for line in text.decode().splitlines() if line]


def test_a_paused_reader_does_not_block_what_a_role_prints(paused, monkeypatch):
    stream, pipe = paused
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(line_writer, "CLOSE_WITHIN", 0.01)
    with in_background():
        print_line("ready")
        print_if_writable("silent")
    assert lines_of(pipe, "silent") == ["ready", "silent"]


def test_log_and_output_stay_in_order_while_the_reader_of_both_is_paused(paused, monkeypatch):
    stream, pipe = paused
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    logging_setup.setup("text", "info", stream)
    log = logging.getLogger("quictunnel.remote")
    with in_background():
        log.info("first")
        print_line("second")
        log.info("third")
    print_error("quictunnel", "fourth")
    lines = lines_of(pipe, "quictunnel: fourth")
    assert [line.split()[-1] for line in lines] == ["first", "second", "third", "fourth"]


def test_lines_that_were_not_printed_are_counted(paused, monkeypatch):
    stream, pipe = paused
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(line_writer, "MAX_WAITING", 3 * len("silent 1\n"))
    monkeypatch.setattr(line_writer, "CLOSE_WITHIN", 0.01)
    with in_background():
        for number in range(5):
            print_if_writable(f"silent {number}")
        report = "warning: 2 lines were not printed: the reader has paused"
        kept = [f"silent {number}" for number in range(3)]
        assert lines_of(pipe, report) == [*kept, report]


def test_ctrl_c_before_the_program_is_loaded_is_no_stack_trace(monkeypatch):
    class Impatient:
        @staticmethod
        def find_spec(name, *_):
            if name == "quictunnel.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "quictunnel.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Impatient, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
