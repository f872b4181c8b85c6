"""Prints results on standard output and one sentence per failure on standard error."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from quictunnel.cli import logging_setup
from quictunnel.config.files import why
from quictunnel.errors import QuictunnelError
from quictunnel.observe.log_format import escape

_STDERR = 2
"""The highest of the three standard descriptors."""


def print_line(line: str) -> None:
    """Print a line on standard output. The reader may wait for it.

    A reader that has gone (`| head -1`) is not a failure: the tunnel continues without it.

    :raises QuictunnelError: the line cannot be written.
    """
    try:
        _write(sys.stdout, line)
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            raise QuictunnelError(f"standard output cannot be written: {why(exc)}") from exc


def print_if_writable(line: str) -> None:
    """Print a line on standard output, or drop it if that would block or fail.

    A running tunnel must not wait for a slow reader or end because of a full disk.
    """
    with contextlib.suppress(OSError, ValueError):
        _, ready, _ = select.select([], [sys.stdout], [], 0)
        if ready:
            _write(sys.stdout, line)


def print_styled(*pieces: str | tuple[str, str]) -> None:
    """Print a line of pieces, some with a style, which a terminal without colours ignores."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only the demo needs it
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(Text.assemble(*pieces), end="")
    print_line(captured.get())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. On a terminal, long cells are wrapped; elsewhere, each row is one line.

    Cells are escaped, because they may come from a file.
    """
    cells = [[escape(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        table = [list(columns), *cells]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print_line("  ".join(padded).rstrip())
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in cells:
        grid.add_row(*map(Text, row))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(grid)
    print_line(captured.get().rstrip("\n"))


def print_error(program: str, sentence: str) -> None:
    """Print one sentence on standard error, escaped, because it may quote a peer or a file."""
    # If standard error is broken, the exit code still reports the failure.
    with contextlib.suppress(OSError):
        _write(sys.stderr, f"{program}: {escape(' '.join(sentence.split()))}")


def open_missing_streams() -> None:
    """Open standard streams that the parent process has closed, as /dev/null.

    Otherwise sockets would get their descriptors, and would receive what is printed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    # Python sets these to None for closed descriptors, despite their declared types.
    if sys.__stdout__ is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the exit
    if sys.__stderr__ is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def discard_output() -> None:
    """Drop buffered standard output that cannot be written, which would fail again at exit."""
    _redirect_to_null(sys.stdout)


def _write(stream: TextIO, line: str) -> None:
    logging_setup.flush()  # earlier log lines come first
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except OSError:
        _redirect_to_null(stream)
        raise


def _redirect_to_null(stream: TextIO) -> None:
    """Point a broken stream at /dev/null, so that its buffer can be flushed at exit."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return  # it has no descriptor
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
