"""What the commands print: results on standard output, a failure's one sentence on the other."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from typing import TextIO

from quictunnel.config.files import why
from quictunnel.errors import QuictunnelError
from quictunnel.observe.logging_setup import escape, flush

_STDERR = 2
"""The last of the three descriptors that every program is started with."""


def say(line: str) -> None:
    """Print a line on standard output at once, for whoever waits for it.

    A reader that has what it wanted and is gone (`| head -1`) is no failure: the tunnel goes on
    without it.

    :raises QuictunnelError: when it cannot be written, so that somebody waits for it in vain.
    """
    try:
        _write(sys.stdout, line)
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            raise QuictunnelError(f"standard output cannot be written: {why(exc)}") from exc


def tell(line: str) -> None:
    """Print a line on standard output if it can be done at once, and drop it if not.

    For what comes while the tunnel works, which must go on though a reader does not read, has gone,
    or the disk is full.
    """
    with contextlib.suppress(OSError, ValueError):
        _, ready, _ = select.select([], [sys.stdout], [], 0)
        if ready:
            _write(sys.stdout, line)


def say_styled(*pieces: str | tuple[str, str]) -> None:
    """Print pieces of a line as `say` does, each in its style if the terminal has any."""
    from rich.console import Console  # noqa: PLC0415 - slow, and only the demo is in colours
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(Text.assemble(*pieces), end="")
    say(captured.get())


def complain(program: str, sentence: str) -> None:
    """Print one sentence on standard error, escaped: it may quote a peer or a file."""
    # Where that fails there is nobody left to tell; the exit code says it as well.
    with contextlib.suppress(OSError):
        _write(sys.stderr, f"{program}: {escape(' '.join(sentence.split()))}")


def open_missing_streams() -> None:
    """Let standard streams that were closed before the start lead to nowhere.

    Also as descriptors, which sockets would get otherwise, and all that is printed with them.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    # Python leaves these None then, whatever their types say.
    if sys.__stdout__ is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the very end
    if sys.__stderr__ is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _write(stream: TextIO, line: str) -> None:
    """Write a line; what could not be written is forgotten, or it would fail again at the end."""
    flush()  # what was logged before is to stand before it
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except OSError:
        _drop(stream)
        raise


def drop_output() -> None:
    """Forget what standard output does not take, or it would fail again at the end."""
    _drop(sys.stdout)


def _drop(stream: TextIO) -> None:
    """Lead a stream that fails to nowhere, and what is still in its buffer with it."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return  # no file of the system's
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
