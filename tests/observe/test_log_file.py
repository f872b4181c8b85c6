"""A log file by name: its mode, its rotation, and failures to open it again."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from quictunnel.observe import log_file
from quictunnel.observe.line_writer import LineWriter
from quictunnel.observe.log_file import LOOK_INTERVAL, LogFile
from testkit.programs import PATIENCE


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Rotated:
    """A log file, and what happens to its name."""

    def __init__(self, path) -> None:
        self.path = path
        self.clock = Clock()
        self.failures: list[OSError] = []
        self.file = LogFile(path, self.failures.append, self.clock)

    def append(self, text: str) -> bool:
        """Append a line as a writer does. Return whether it begins a file."""
        is_new = self.file.prepare()
        self.file.write(memoryview(f"{text}\n".encode()))
        return is_new

    def append_later(self, text: str) -> bool:
        """Append a line after the next look at the name."""
        self.clock.now += LOOK_INTERVAL
        return self.append(text)


@pytest.fixture
def rotated(tmp_path):
    rotated = Rotated(tmp_path / "log")
    yield rotated
    rotated.file.close()


@pytest.fixture
def umask():
    """Set the umask to zero, so that the modes of new files are seen."""
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def test_a_new_file_can_be_read_by_its_group_only(tmp_path, umask):
    Rotated(tmp_path / "log").file.close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o640
    umask(0o077)
    Rotated(tmp_path / "private").file.close()
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_the_mode_and_the_content_of_a_file_stay(tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n")
    path.chmod(0o604)
    rotated = Rotated(path)
    rotated.append("a")
    rotated.file.close()
    assert path.read_text() == "before\na\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.parametrize("rotate", ["rename", "remove"])
def test_a_rotation_is_noticed(rotated, rotate):
    rotated.append("a")
    if rotate == "rename":
        rotated.path.rename(rotated.path.with_suffix(".1"))
    else:
        rotated.path.unlink()
    assert not rotated.append("b"), "the name is not looked at before each line"
    assert rotated.append_later("c")
    assert rotated.path.read_text() == "c\n"
    if rotate == "rename":
        assert rotated.path.with_suffix(".1").read_text() == "a\nb\n"


def test_a_file_that_was_replaced_is_opened(rotated):
    other = rotated.path.with_suffix(".new")
    other.write_text("other\n")
    other.rename(rotated.path)
    assert rotated.append_later("a")
    assert rotated.path.read_text() == "other\na\n"


def test_a_truncated_file_is_continued_at_its_start(rotated):
    rotated.append("a")
    os.truncate(rotated.path, 0)
    assert not rotated.append_later("b")
    assert rotated.path.read_text() == "b\n"


def test_a_request_opens_the_file_at_once(rotated):
    rotated.append("a")
    rotated.path.rename(rotated.path.with_suffix(".1"))
    rotated.file.reopen()
    assert rotated.append("b")
    assert rotated.path.read_text() == "b\n"
    assert not rotated.append("c")


def test_a_request_without_a_rotation_changes_nothing(rotated):
    rotated.append("a")
    rotated.file.reopen()
    assert not rotated.append("b")
    assert rotated.path.read_text() == "a\nb\n"


def test_lines_go_to_the_old_file_until_a_new_one_can_be_opened(rotated):
    old = rotated.path.with_suffix(".1")
    rotated.path.rename(old)
    rotated.path.mkdir()
    for text in "ab":
        assert not rotated.append_later(text)
    assert old.read_text() == "a\nb\n"
    assert [exc.errno for exc in rotated.failures] == [errno.EISDIR], "reported once"
    rotated.path.rmdir()
    assert rotated.append_later("c")
    rotated.path.unlink()
    rotated.path.mkdir()
    rotated.append_later("d")
    assert len(rotated.failures) == 2, "the next failure is reported again"


def test_an_error_of_close_leaves_the_new_file_open(rotated, monkeypatch):
    close = os.close

    def fail(descriptor) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    rotated.path.rename(rotated.path.with_suffix(".1"))
    rotated.file.reopen()
    with monkeypatch.context() as patched:
        patched.setattr(log_file.os, "close", fail)
        with pytest.raises(OSError, match="Input/output error"):
            rotated.file.prepare()
    rotated.append("a")
    assert rotated.path.read_text() == "a\n"


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Rotated(tmp_path / "missing" / "log")
    with pytest.raises(IsADirectoryError):
        Rotated(tmp_path)


def test_a_pipe_without_a_reader_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        Rotated(tmp_path / "pipe")


def test_a_writer_opens_the_file_again_without_a_line(tmp_path):
    rotated = Rotated(tmp_path / "log")
    writer = LineWriter(rotated.file)
    rotated.path.rename(rotated.path.with_suffix(".1"))
    rotated.file.reopen()
    writer.write("", lambda lost, reason: f"lost {lost}: {reason}")
    writer.close()
    writer._thread.join(PATIENCE)
    assert rotated.path.read_text() == ""
