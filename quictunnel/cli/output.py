"""Prints results on standard output and one sentence per failure on standard error."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TextIO, TypeAlias

from quictunnel.cli import logging_setup
from quictunnel.config.files import why
from quictunnel.errors import QuictunnelError
from quictunnel.escaping import escape
from quictunnel.observe.line_writer import TextWriter, writer_of

Cell: TypeAlias = str | tuple[str, str]
"""The text of a table's cell, or the text and its style on a terminal with colours."""

_STDERR = 2
"""The highest of the three standard descriptors."""

_background: list[TextWriter] = []
"""The writer of standard output while a role runs; otherwise empty."""


@contextlib.contextmanager
def in_background() -> Iterator[TextWriter]:
    """Print lines of this context without blocking for long, for the time in which a role runs.

    Lines are lost if the reader of standard output pauses, and their number is printed later.
    Provide the writer of standard output, for what is written there besides. One context in another
    one has the same writer.
    """
    if _background:
        yield _background[-1]
        return
    own = None
    writer = logging_setup.log_writer(sys.stdout)
    if writer is None:
        writer = own = writer_of(sys.stdout)
    _background.append(writer)
    try:
        yield writer
    finally:
        _background.remove(writer)
        logging_setup.flush()
        if own is not None:
            own.close()


def print_line(line: str) -> bool:
    """Print a line on standard output. The reader may wait for it.

    A reader that has gone (`| head -1`) is not a failure: the tunnel continues without it.

    :return: whether there is a reader.
    :raises QuictunnelError: the line cannot be written.
    """
    try:
        if not _background:
            _write(sys.stdout, line)
            return True
        writer = _print_in_background(line)
        writer.flush()
        if writer.error is not None:
            raise writer.error
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            raise QuictunnelError(f"standard output cannot be written: {why(exc)}") from exc
        return False
    return True


def print_if_writable(line: str) -> None:
    """Print a line on standard output, or drop it if that would block or fail.

    A running tunnel must not wait for a slow reader or end because of a full disk.
    """
    if _background:
        _print_in_background(line)
        return
    with contextlib.suppress(OSError, ValueError):
        _, ready, _ = select.select([], [sys.stdout], [], 0)
        if ready:
            _write(sys.stdout, line)


def print_styled(*pieces: str | tuple[str, str]) -> bool:
    """Print a line of pieces, some with a style, which a terminal without colours ignores.

    :return: as `print_line`.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only the demo needs it
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(Text.assemble(*pieces), end="")
    return print_line(captured.get())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, numbers: Collection[str] = ()
) -> None:
    """Print a table. On a terminal, long cells are wrapped; elsewhere, each row is one line.

    Cells are escaped, because they may come from a file or a peer.

    :param numbers: the columns that are aligned to the right.
    """
    cells = [[_escaped(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        lines = [list(columns), *([text for text, _ in row] for row in cells)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            padded = (
                text.rjust(width) if name in numbers else text.ljust(width)
                for name, text, width in zip(columns, line, widths, strict=True)
            )
            print_line("  ".join(padded).rstrip())
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        grid.add_column(name, overflow="fold", justify="right" if name in numbers else "left")
    for row in cells:
        grid.add_row(*(Text(text, style) for text, style in row))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(grid)
    print_line(captured.get().rstrip("\n"))


def _escaped(cell: Cell) -> tuple[str, str]:
    """Return a cell's text, escaped, and its style."""
    text, style = (cell, "") if isinstance(cell, str) else cell
    return escape(text), style


def print_error(program: str, sentence: str) -> None:
    """Print one sentence on standard error, escaped, because it may quote a peer or a file."""
    line = f"{program}: {escape(' '.join(sentence.split()))}"
    if (writer := logging_setup.log_writer(sys.stderr)) is not None:
        logging_setup.flush()
        writer.write(f"{line}\n", describe_loss)
        writer.flush()
        return
    # If standard error is broken, the exit code still reports the failure.
    with contextlib.suppress(OSError):
        _write(sys.stderr, line)


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


def _print_in_background(line: str) -> TextWriter:
    logging_setup.flush()  # earlier log lines come first
    writer = _background[-1]
    writer.write(f"{line}\n", describe_loss)
    return writer


def describe_loss(count: int, reason: str) -> str:
    """Return the line of standard output that reports lost lines."""
    lines = "1 line was" if count == 1 else f"{count} lines were"
    return f"warning: {lines} not printed: {reason}"


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
