"""Standard streams that are closed, full or without a reader, and Ctrl-C during the start."""

from __future__ import annotations

import errno
import io
import subprocess
import sys

import pytest

from quictunnel.__main__ import main
from quictunnel.cli.main import invoke

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
