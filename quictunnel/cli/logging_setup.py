"""Configures this process's logging. Only the command line does that; a library must not."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Literal, TextIO

from quictunnel.observe.line_writer import TextWriter, writer_of
from quictunnel.observe.log_format import JsonFormatter, TextFormatter
from quictunnel.observe.log_writer import BatchHandler

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def setup(log_format: LogFormat, level: LogLevel | None, stream: TextIO | None = None) -> None:
    """Send this process's log to `stream`, by default standard error, and nowhere else.

    :param level: the lowest level of our own loggers; None for `warning` on a terminal and `info`
        elsewhere. Other loggers log from `warning`. Those of aioquic and uvicorn log from `error`,
        because they warn about every stray datagram and every malformed request.
    """
    stream = stream or sys.stderr
    level = level or ("warning" if stream.isatty() else "info")
    flush()  # a reload sets up the log again
    handler = BatchHandler(log_writer(stream) or writer_of(stream), stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    lowest = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(lowest, logging.WARNING))
    logging.getLogger("quictunnel").setLevel(lowest)
    for name in ("quic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Do not collect what no line shows ("Optimization" in the logging HOWTO).
    logging._srcfile = None  # noqa: SLF001 - the HOWTO names this attribute
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A line that cannot be formatted must not print a traceback between the others.
    logging.raiseExceptions = False


@contextlib.contextmanager
def restored_after_failure() -> Iterator[None]:
    """Undo what `setup` does in this context if the context ends with an exception."""
    loggers = [logging.getLogger(name) for name in (None, "quictunnel", "quic", "uvicorn")]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    try:
        yield
    except BaseException:
        for logger, (handlers, level) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.setLevel(level)
        raise


def flush() -> None:
    """Write the waiting log lines, so that a line printed next stands after them.

    This waits for the log's reader, but only for a moment, and not for one that has paused.
    """
    for handler in logging.getLogger().handlers:
        handler.flush()


def log_writer(stream: TextIO) -> TextWriter | None:
    """Return the log's writer if the log goes to the same file, pipe or terminal as `stream`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, BatchHandler) and _is_same_file(handler.stream, stream):
            return handler.writer
    return None


def _is_same_file(one: TextIO, other: TextIO) -> bool:
    try:
        return one is other or os.path.sameopenfile(one.fileno(), other.fileno())
    except (OSError, ValueError, AttributeError):
        return False  # one of them is closed, or has no descriptor
