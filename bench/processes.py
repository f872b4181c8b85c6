"""Programs as subprocesses: start, wait for the line `ready…`, CPU time, memory, stop.

For bench and interop alike. Knows no program in particular, and Linux only.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

READY_WITHIN = 20.0
"""Seconds for a program to say that it is ready: a Python that starts on a busy machine."""

STOP_WITHIN = 5.0
"""Seconds between the signals that ask a program to end; after the second it is killed."""

LOG_TAIL = 1500
"""Characters of a failed program's standard error that its error message carries."""


class ProgramError(Exception):
    """A program did not start, or is gone; the message carries its last words."""


@dataclass(frozen=True)
class Program:
    """One running program."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    """Where its standard error goes: a file, so that it never waits for a reader."""
    ready: str
    """The line by which it said that it is ready."""

    def cpu(self) -> float:
        """Return the CPU seconds that it has used so far, all threads, user and system."""
        # clock_getcpuclockid(3) on Linux: ~pid << 3 | CPUCLOCK_SCHED. In nanoseconds, where
        # /proc/PID/stat has ticks of 10 ms.
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def memory(self) -> int:
        """Return its proportional set size in bytes: what is shared counts in shares."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise ProgramError(f"{self.name}: no memory figures (has it ended?)")

    def last_words(self) -> str:
        """Return the end of its standard error."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:].strip()

    def stop(self) -> None:
        """End it: SIGTERM, again for those that drain first, then SIGKILL."""
        for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            self.process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_WITHIN)
                break
        if self.process.stdout:
            self.process.stdout.close()


@contextlib.contextmanager
def started(
    name: str, command: Sequence[str | Path], scratch: Path, **environment: str
) -> Iterator[Program]:
    """Run a program, without waiting until it is ready; stop it at the end.

    :param scratch: a folder for its standard error and what it prints.
    :param environment: what it is to find beside our own environment.
    """
    log = scratch / f"{name}.log"
    with log.open("wb") as errors:
        program = Program(name, _start(command, errors, errors, environment), log, "")
    try:
        yield program
    finally:
        program.stop()


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str | Path], scratch: Path, **environment: str
) -> Iterator[Program]:
    """Run a program that prints a line beginning with `ready`; stop it at the end.

    :param scratch: a folder for its standard error.
    :param environment: what it is to find beside our own environment.
    :raises ProgramError: it ended, or was not ready in time.
    """
    log = scratch / f"{name}.log"
    with log.open("wb") as errors:
        process = _start(command, subprocess.PIPE, errors, environment)
    program = Program(name, process, log, "")
    try:
        yield Program(name, process, log, _ready_line(program))
    finally:
        program.stop()


def _start(
    command: Sequence[str | Path],
    output: IO[bytes] | int,
    errors: IO[bytes],
    environment: dict[str, str],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=clean_environment() | environment,
    )


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings of quictunnel that a user may have in it."""
    return {name: v for name, v in os.environ.items() if not name.startswith("QUICTUNNEL_")}


def _ready_line(program: Program) -> str:
    stdout = program.process.stdout
    if stdout is None:
        raise ProgramError(f"{program.name}: started without a pipe")
    deadline = time.monotonic() + READY_WITHIN
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            data = os.read(stdout.fileno(), 4096)
            text += data
            for line in text.splitlines(keepends=True):
                if line.startswith(b"ready") and line.endswith(b"\n"):
                    return line.decode().strip()
            if not data:
                raise ProgramError(f"{program.name} ended at once: {program.last_words()}")
    raise ProgramError(
        f"{program.name} was not ready within {READY_WITHIN:.0f} s: {program.last_words()}"
    )
