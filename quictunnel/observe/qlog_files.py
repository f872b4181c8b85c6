"""qlog files in a directory: one or more for each QUIC connection, bounded in size and number.

The engines pass encoded events in. A thread writes them to files as JSON text sequences (RFC 7464),
each with a header as in draft-ietf-quic-qlog-main-schema-04, so that a file is complete after each
event. When the files together are too large, the thread removes those that were not written to for
the longest time.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from quictunnel.events import EventSink, QlogConnectionsSkipped, QlogEventsLost
from quictunnel.observe.loss_reports import LossReports
from quictunnel.snapshots import RoleName

QLOG_VERSION = "0.3"
"""The version of the main schema, in revision 04 of its draft. qvis reads no newer one."""

RECORD_START = b"\x1e"
"""Precedes each record of a JSON text sequence. A newline ends it."""

FILE_SIZE = 32 * 1024**2
"""Bytes of all files that are being written to. Each connection has an equal share. When its file
is larger than that, the connection is continued in another one, and the file may be removed."""

TOTAL_SIZE = 256 * 1024**2
"""Bytes of all qlog files in the directory, of every process."""

MAX_FILES = 1000
"""Their number."""

MAX_TRACES = 64
"""Connections of a process that are recorded at a time. Others are not recorded at all."""

MAX_WAITING = 8 * 1024**2
"""Bytes of events that wait for the thread. The events of more are lost."""

WRITE_INTERVAL = 0.1
"""Seconds between two rounds of the thread, so that it writes many events at a time."""

CLOSE_WITHIN = 0.5
"""Seconds that the end of the program waits for the thread."""

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z-(?:remote|origin)-[0-9a-f]{2,40}(?:-\d+)?\.sqlog")
"""A name of one of these files. Other files in the directory are left alone."""

TOO_SLOW = "the disk is too slow"
"""Why events were lost that found no room."""


class QlogFileTrace:
    """The recording of one connection. Its methods return at once."""

    def __init__(self, files: QlogFiles, name: str, header: bytes) -> None:
        self._files = files
        self._file = _TraceFile(name, header)

    def write(self, events: bytes) -> None:
        """Write events: records of a JSON text sequence, oldest first."""
        self._files.enqueue(self._file, events)

    def close(self) -> None:
        """The connection has ended."""
        self._files.enqueue(self._file, None)


class QlogFiles:
    """The qlog files of one role.

    :param directory: is created if it is missing.
    :param emit: consumes `QlogEventsLost` and `QlogConnectionsSkipped`.
    :raises OSError: the directory cannot be created, or no files can be created in it.
    :raises RuntimeError: the system allows no more threads.
    """

    def __init__(self, directory: Path, role: RoleName, emit: EventSink) -> None:
        name = str(directory)
        self._role = role
        self._losses = LossReports(lambda lost, why: emit(QlogEventsLost(name, lost, why)))
        self._skipped = LossReports(
            lambda count, _: emit(QlogConnectionsSkipped(name, count, MAX_TRACES))
        )
        make_directory(directory)
        self._writer = _Writer(_Folder(directory), self._losses.add_from_thread)

    def start_trace(self, *, is_client: bool, connection_id: bytes) -> QlogFileTrace | None:
        """Start to record a connection; return None if too many are recorded now.

        :param is_client: whether this end has dialed.
        :param connection_id: the destination connection ID of the client's first packet (ODCID).
        """
        if not self._writer.add_trace():
            self._skipped.add(1, "")
            return None
        now = time.time()
        start = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}.{int(now % 1 * 1000):03}Z"
        header = _header(self._role, now, is_client=is_client, connection_id=connection_id)
        return QlogFileTrace(self, f"{start}-{self._role}-{connection_id.hex()}", header)

    def enqueue(self, file: _TraceFile, events: bytes | None) -> None:
        """Let events wait for the thread. Without events, the file is complete."""
        if (lost := self._writer.enqueue(file, events)) > 0:
            self._losses.add(lost, TOO_SLOW)

    def close(self) -> None:
        """Write what waits, for at most `CLOSE_WITHIN` seconds, and end the thread."""
        self._writer.close()
        self._losses.close()
        self._skipped.close()


def make_directory(path: Path) -> None:
    """Create the directory if it is missing, and check that files can be created in it.

    :raises OSError: they cannot.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=DIRECTORY_MODE)
    os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(path))


def _header(role: RoleName, now: float, *, is_client: bool, connection_id: bytes) -> bytes:
    """Return the first record of a file."""
    title = f"quictunnel {role}"
    trace = {
        "vantage_point": {"name": title, "type": "client" if is_client else "server"},
        "common_fields": {
            "ODCID": connection_id.hex(),
            "protocol_type": ["QUIC"],
            "time_format": "relative",
            "reference_time": round(now * 1000, 3),
        },
    }
    content = {
        "qlog_version": QLOG_VERSION,
        "qlog_format": "JSON-SEQ",
        "title": title,
        "trace": trace,
    }
    return record(content)


def record(value: object) -> bytes:
    """Return a value as a record of a JSON text sequence."""
    return b"%b%b\n" % (RECORD_START, msgspec.json.encode(value))


class _TraceFile:
    """The files of a trace, one after another. The thread uses them, and nothing else does."""

    def __init__(self, name: str, header: bytes) -> None:
        self._name = name
        self._header = header
        self._parts = 0
        self._file = ""
        self._descriptor = -1
        self._size = 0

    def append(self, folder: _Folder, events: bytes) -> None:
        """Append events, to another file if the present one is full.

        :raises OSError: the system refuses it. The files have none of these events.
        """
        if self._descriptor >= 0 and self._size + len(events) > folder.share:
            self.close(folder)
        if self._descriptor < 0:
            self._open(folder)
        self._write(events)

    def close(self, folder: _Folder) -> None:
        """Close the present file."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            folder.release(self._file)
            with contextlib.suppress(OSError):  # as of NFS; the number is free in any case
                os.close(descriptor)

    def _open(self, folder: _Folder) -> None:
        number = self._parts + 1
        self._file = f"{self._name}{'' if number == 1 else f'-{number}'}.sqlog"
        self._descriptor = folder.create(self._file)
        self._size = 0
        try:
            self._write(self._header)
        except OSError:
            self.close(folder)
            folder.remove(self._file)
            raise
        self._parts = number

    def _write(self, data: bytes) -> None:
        """Write all of it or nothing, so that a file never ends in the middle of a record."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)


class _Folder:
    """The directory, kept within the limits. The thread uses it, and no other one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: set[str] = set()

    @property
    def share(self) -> int:
        """The bytes that an open file may have."""
        return FILE_SIZE // max(1, len(self._open))

    def create(self, name: str) -> int:
        """Make room for a file, create it, and return its descriptor.

        :raises OSError: the system refuses it.
        """
        self._make_room()
        descriptor = os.open(self._path / name, _FLAGS, FILE_MODE)
        self._open.add(name)
        return descriptor

    def release(self, name: str) -> None:
        """A file is complete. It may be removed from now on."""
        self._open.discard(name)

    def remove(self, name: str) -> None:
        """Remove a file, unless another process has done so.

        :raises OSError: the system refuses it.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path / name)

    def _make_room(self) -> None:
        """Remove complete files until one more of the full size fits."""
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # another process removed it
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime_ns, entry.name, status.st_size))
        total, count = sum(size for *_, size in found), len(found)
        for _, name, size in sorted(found):
            if total <= TOTAL_SIZE - FILE_SIZE and count < MAX_FILES:
                return
            if name not in self._open:
                self.remove(name)
                total, count = total - size, count - 1


class _Writer:
    """The thread, and what waits for it.

    :param report_loss: takes the number of lost events and the reason, in the thread.
    """

    def __init__(self, folder: _Folder, report_loss: Callable[[int, str], None]) -> None:
        self._folder = folder
        self._report_loss = report_loss
        self._changed = threading.Condition()
        self._waiting: deque[tuple[_TraceFile, bytes | None]] = deque()
        self._size = 0
        self._traces = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="qlog writer", daemon=True)
        self._thread.start()

    def add_trace(self) -> bool:
        """Count another trace; return False if there are too many."""
        with self._changed:
            if self._traces >= MAX_TRACES:
                return False
            self._traces += 1
            return True

    def enqueue(self, file: _TraceFile, events: bytes | None) -> int:
        """Let events wait. Return how many are lost because too many wait."""
        size = 0 if events is None else len(events)
        with self._changed:
            if size and self._size + size > MAX_WAITING:
                return _count(events)
            self._waiting.append((file, events))
            self._size += size
            if len(self._waiting) == 1:
                self._changed.notify_all()
            return 0

    def close(self) -> None:
        """Let the thread write what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_WITHIN)

    def _run(self) -> None:
        files: set[_TraceFile] = set()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                self._changed.wait_for(lambda: self._is_closed, WRITE_INTERVAL)
                waiting, self._waiting = self._waiting, deque()
                is_last = self._is_closed
            for file, events in waiting:
                if events is None:
                    file.close(self._folder)
                    files.discard(file)
                else:
                    files.add(file)
                    self._append(file, events)
                with self._changed:
                    self._size -= 0 if events is None else len(events)
                    self._traces -= events is None
            if is_last:
                break
        for file in files:
            file.close(self._folder)

    def _append(self, file: _TraceFile, events: bytes) -> None:
        try:
            file.append(self._folder, events)
        except OSError as exc:
            self._report_loss(_count(events), (exc.strerror or str(exc)).lower())


def _count(events: bytes | None) -> int:
    return 0 if events is None else events.count(RECORD_START)
