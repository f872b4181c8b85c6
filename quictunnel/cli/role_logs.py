"""The options `--access-log`, `--access-log-format` and `--qlog`, and the files that they open."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from quictunnel.cli.config_option import Sources
from quictunnel.cli.options import OptionError, read
from quictunnel.cli.output import describe_loss, in_background
from quictunnel.config.files import quoted, why
from quictunnel.config.values import STANDARD_STREAM
from quictunnel.errors import SettingsError
from quictunnel.events import Event, EventSink
from quictunnel.observe.access_log import REPLACED, AccessLog, FileAccessLog
from quictunnel.observe.access_log_format import FORMATS, AccessLogFormat
from quictunnel.observe.event_fanout import EventFanout
from quictunnel.observe.qlog_files import QlogFiles
from quictunnel.quic.engine import Qlog
from quictunnel.snapshots import RoleName

OPTION = "--access-log"
QLOG_OPTION = "--qlog"
FORMAT_OPTION = "--access-log-format"
DEFAULT_FORMAT: AccessLogFormat = "text"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The files for a role's recordings: the access log and qlog files."""

    access_log: Path | None
    """The file of the access log; `-` for standard output; None for no access log."""

    access_log_format: AccessLogFormat
    """The format of its lines."""

    qlog: Path | None
    """The directory for qlog files of QUIC connections; None for no recording."""

    @property
    def replaced(self) -> Collection[type[Event]]:
        """The events that the log leaves to the access log."""
        return frozenset() if self.access_log is None else REPLACED

    def differences(self, other: LogSettings) -> set[str]:
        """Return the names of the fields in which other settings differ."""
        names = (each.name for each in fields(self))
        return {name for name in names if getattr(self, name) != getattr(other, name)}


class OpenLogs:
    """The files of a running role.

    :param access_log: the access log, if there is one.
    :param log: the sink of the other log.
    """

    def __init__(self, access_log: AccessLog | None, log: EventSink, qlog: Qlog | None) -> None:
        self._access_log = access_log
        self.emit: EventSink = log if access_log is None else EventFanout(access_log, log)
        """A sink for the log and the access log."""
        self.qlog = qlog
        """Records QUIC connections, if that is asked for."""

    def reopen(self) -> None:
        """Open the file of the access log again. Without one, do nothing."""
        if self._access_log is not None:
            self._access_log.reopen()


def read_settings(
    access_log: Path | None,
    access_log_format: AccessLogFormat,
    qlog: Path | None,
    sources: Sources,
) -> LogSettings:
    """Return checked settings. Nothing is opened or created.

    :raises OptionError: there is a format without an access log, or a path cannot be used.
    """
    if access_log is None:
        if access_log_format != DEFAULT_FORMAT:
            needed = "'access-log'" if sources.is_from_file(FORMAT_OPTION) else OPTION
            raise OptionError(f"{sources.name(FORMAT_OPTION)} needs {needed}")
    elif str(access_log) != STANDARD_STREAM:
        read(sources.name(OPTION), _check_file, access_log)
    if qlog is not None:
        read(sources.name(QLOG_OPTION), _check_directory, qlog)
    return LogSettings(access_log, access_log_format, qlog)


@contextlib.contextmanager
def opened(settings: LogSettings, role: RoleName, log: EventSink) -> Iterator[OpenLogs]:
    """Open the files while this context lasts, in which an event loop runs.

    :param log: consumes all events, also those about the files.
    :raises SettingsError: a file or the directory cannot be used.
    """
    with contextlib.ExitStack() as held:
        access_log = held.enter_context(_access_log(settings, log))
        qlog = None
        if settings.qlog is not None:
            with _usable(f"the qlog directory {quoted(settings.qlog)}"):
                qlog = QlogFiles(settings.qlog, role, log)
            held.callback(qlog.close)
        yield OpenLogs(access_log, log, qlog)


@contextlib.contextmanager
def _access_log(settings: LogSettings, log: EventSink) -> Iterator[AccessLog | None]:
    path, format_line = settings.access_log, FORMATS[settings.access_log_format]
    if path is None:
        yield None
    elif str(path) == STANDARD_STREAM:
        with in_background() as writer:
            access_log = AccessLog(writer, format_line, describe_loss=describe_loss)
            try:
                yield access_log
            finally:
                access_log.close()
    else:
        with _usable(f"the access log {quoted(path)}"):
            file = FileAccessLog(path, format_line, log)
        try:
            yield file.log
        finally:
            file.close()


@contextlib.contextmanager
def _usable(name: str) -> Iterator[None]:
    """Turn errors of opening something into errors of the settings."""
    try:
        yield
    except OSError as exc:
        is_pipe = exc.errno == errno.ENXIO
        reason = "it is a pipe that no program reads" if is_pipe else why(exc)
        raise SettingsError(f"{name} cannot be used: {reason}") from exc
    except RuntimeError as exc:
        raise SettingsError(f"{name} cannot be used: {exc}") from exc


def _check_file(path: Path) -> None:
    with _usable(quoted(path)):
        if path.is_dir():
            raise SettingsError(f"{quoted(path)} is a directory, not a file")
        _check_parent(path)


def _check_directory(path: Path) -> None:
    with _usable(quoted(path)):
        if path.exists() and not path.is_dir():
            raise SettingsError(f"{quoted(path)} is not a directory")
        _check_parent(path)


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise SettingsError(f"the directory {quoted(path.parent)} does not exist")
