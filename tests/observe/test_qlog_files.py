"""qlog files: their names, their limits, and failures of the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time

import pytest

from quictunnel.events import QlogConnectionsSkipped, QlogEventsLost
from quictunnel.observe import qlog_files
from quictunnel.observe.qlog_files import QlogFiles, make_directory, record
from testkit import qlog_reader
from testkit.programs import PATIENCE

ID = bytes.fromhex("0123456789abcdef")

EVENT = record({"time": 1.5, "name": "recovery:metrics_updated", "data": {"min_rtt": 3.25}})


class Role:
    """A role's qlog files, and its events."""

    def __init__(self, folder, name="remote") -> None:
        self.folder = folder
        self.events = []
        self.files = QlogFiles(folder, name, self.events.append)

    def trace(self, connection_id=ID, *, is_client=False):
        return self.files.start_trace(is_client=is_client, connection_id=connection_id)

    @property
    def paths(self) -> list:
        return sorted(self.folder.iterdir())

    async def written(self) -> None:
        """Wait until nothing waits for the thread any more."""
        await until(lambda: not (self.files._writer._size or self.files._writer._waiting))


async def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """The thread collects no events before it writes."""
    monkeypatch.setattr(qlog_files, "WRITE_INTERVAL", 0.0)


@pytest.fixture
async def role(tmp_path):
    role = Role(tmp_path / "qlog")
    yield role
    role.files.close()


async def test_a_file_is_named_by_time_role_and_connection(role):
    trace = role.trace()
    trace.write(EVENT + EVENT)
    await role.written()
    (path,) = role.paths
    assert qlog_files._NAME.fullmatch(path.name)
    assert path.name.endswith("Z-remote-0123456789abcdef.sqlog")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(role.folder.stat().st_mode) == 0o700
    file = qlog_reader.read(path)
    assert file.vantage_point == "server"
    assert file.connection_id == ID.hex()
    assert len(file.events) == 2


async def test_a_connection_without_events_has_no_file(role):
    role.trace().close()
    await role.written()
    assert role.paths == []


async def test_a_large_file_is_continued_in_another_one(role, monkeypatch):
    monkeypatch.setattr(qlog_files, "FILE_SIZE", 1000)
    trace = role.trace(is_client=True)
    for _ in range(40):
        trace.write(EVENT)
        await role.written()
    assert len(role.paths) > 2
    assert role.paths[1].name.endswith("-2.sqlog") or role.paths[0].name.endswith("-2.sqlog")
    parts = [qlog_reader.read(path) for path in role.paths]
    assert sum(len(part.events) for part in parts) == 40
    assert len({part.header["trace"]["common_fields"]["reference_time"] for part in parts}) == 1
    assert all(path.stat().st_size <= 1000 for path in role.paths)


async def test_the_files_that_were_not_written_to_for_longest_are_removed(role, monkeypatch):
    monkeypatch.setattr(qlog_files, "FILE_SIZE", 2000)
    monkeypatch.setattr(qlog_files, "TOTAL_SIZE", 4000)
    (role.folder / "mine.txt").write_text("x" * 5000)
    for number in range(3):
        trace = role.trace(bytes([number] * 8))
        trace.write(EVENT * 15)
        trace.close()
        await role.written()
        (path,) = role.folder.glob(f"*-{number:02}*.sqlog")
        os.utime(path, (number, number))
    trace = role.trace(b"\xff" * 8)
    trace.write(EVENT)
    await role.written()
    names = [path.name for path in role.paths]
    assert not any("-0000" in name for name in names), "the oldest is gone"
    assert any("-ffff" in name for name in names)
    assert "mine.txt" in names, "other files are left alone"
    total = sum(path.stat().st_size for path in role.folder.glob("*.sqlog"))
    assert total <= 4000


async def test_many_connections_at_a_time_share_the_limit(role, monkeypatch):
    monkeypatch.setattr(qlog_files, "FILE_SIZE", 8000)
    monkeypatch.setattr(qlog_files, "TOTAL_SIZE", 16_000)
    traces = [role.trace(bytes([number] * 8)) for number in range(8)]
    for _ in range(100):
        for trace in traces:
            trace.write(EVENT)
        await role.written()
        assert sum(path.stat().st_size for path in role.paths) <= 16_000


async def test_files_in_use_are_not_removed(role, monkeypatch):
    monkeypatch.setattr(qlog_files, "MAX_FILES", 2)
    first = role.trace(b"\x01" * 8)
    first.write(EVENT)
    await role.written()
    (path,) = role.paths
    os.utime(path, (0, 0))
    for number in range(2, 6):
        trace = role.trace(bytes([number] * 8))
        trace.write(EVENT)
        trace.close()
        await role.written()
    assert path in role.paths
    assert len(role.paths) == 2
    first.write(EVENT)
    await role.written()
    assert len(qlog_reader.read(path).events) == 2


async def test_too_many_connections_are_skipped_and_reported(role, monkeypatch):
    monkeypatch.setattr(qlog_files, "MAX_TRACES", 2)
    traces = [role.trace(bytes([number] * 8)) for number in range(3)]
    assert traces[2] is None
    assert role.events == [QlogConnectionsSkipped(str(role.folder), 1, 2)]
    traces[0].close()
    await role.written()
    await until(lambda: role.files._writer._traces == 1)
    assert role.trace(b"\x09" * 8) is not None


async def test_events_that_find_no_room_are_lost_and_counted(role, monkeypatch):
    monkeypatch.setattr(qlog_files, "MAX_WAITING", len(EVENT))
    monkeypatch.setattr(qlog_files, "WRITE_INTERVAL", 0.2)
    trace = role.trace()
    trace.write(EVENT)
    trace.write(EVENT * 3)
    assert role.events == [QlogEventsLost(str(role.folder), 3, qlog_files.TOO_SLOW)]
    await role.written()
    assert len(qlog_reader.read(role.paths[0]).events) == 1


class Disk:
    """A disk that takes part of a write and then is full, or works."""

    def __init__(self, monkeypatch) -> None:
        self.is_full = False
        self._write = os.write
        monkeypatch.setattr(qlog_files.os, "write", self.write)

    def write(self, descriptor, data) -> int:
        if not self.is_full or len(data) <= 8:  # the loop wakes up with one byte
            return self._write(descriptor, data)
        if len(data) % 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data[: len(data) // 2 + 1 - len(data) // 2 % 2])


async def test_a_full_disk_leaves_complete_files(role, monkeypatch):
    disk = Disk(monkeypatch)
    trace = role.trace()
    trace.write(EVENT)
    await role.written()
    disk.is_full = True
    trace.write(EVENT * 2)
    await until(lambda: role.events)
    assert role.events == [QlogEventsLost(str(role.folder), 2, "no space left on device")]
    disk.is_full = False
    trace.write(EVENT)
    await role.written()
    assert len(qlog_reader.read(role.paths[0]).events) == 2


async def test_a_full_disk_leaves_no_file_without_a_header(role, monkeypatch):
    disk = Disk(monkeypatch)
    disk.is_full = True
    trace = role.trace()
    trace.write(EVENT)
    await until(lambda: role.events)
    assert role.paths == []
    disk.is_full = False
    trace.write(EVENT)
    await role.written()
    assert len(qlog_reader.read(role.paths[0]).events) == 1


async def test_an_error_of_close_does_not_end_the_thread(role, monkeypatch):
    close = os.close

    def fail(descriptor) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(qlog_files.os, "close", fail)
    for _ in range(2):
        trace = role.trace(os.urandom(8))
        trace.write(EVENT)
        trace.close()
        await role.written()
    assert len(role.paths) == 2


async def test_a_directory_that_is_gone_ends_nothing(role):
    role.folder.rmdir()
    trace = role.trace()
    trace.write(EVENT)
    await until(lambda: role.events)
    assert role.events == [QlogEventsLost(str(role.folder), 1, "no such file or directory")]
    role.folder.mkdir()
    trace.write(EVENT)
    await role.written()
    assert len(role.paths) == 1


async def test_what_waits_is_written_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(qlog_files, "WRITE_INTERVAL", 60.0)
    role = Role(tmp_path / "qlog", "origin")
    role.trace().write(EVENT)
    role.files.close()
    (path,) = role.paths
    assert "-origin-" in path.name
    assert len(qlog_reader.read(path).events) == 1
    role.trace()


def test_a_directory_must_be_usable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_directory(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        make_directory(tmp_path / "missing" / "qlog")


def test_a_directory_must_be_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(qlog_files.os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError):
        make_directory(tmp_path)
