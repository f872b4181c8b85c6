"""Programs as subprocesses: start them, wait for output, send signals, measure CPU and memory.

The first part of this module is the only place that knows what `quictunnel` prints and logs.
Output goes to files, so that no program ever waits for a reader. CPU time and memory come from the
kernel and need Linux.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Lines of quictunnel on standard output

READY_REMOTE = (
    r"^ready: origins connect to UDP (?:port |\S+:)(\d+), clients to TCP (?:port |\S+:)(\d+)$"
)
"""A remote's `ready` line. Groups: the port for origins, the port for clients."""
READY_ORIGIN = r"^ready: (\S+) at the remote -> (\S+)$"
"""An origin's `ready` line. Groups: the address for clients, the origin server."""
SILENT_REMOTE = r"^silent: link of origin box silent for \d+ s, 3 connections held for"
SILENT_ORIGIN = r"^silent: link silent for \d+ s, 3 connections held for up to 14m\d+s$"
BACK_REMOTE = r"^back: link of origin box back after \d+ s on 127\.0\.0\.1:\d+( \(was \S+\))?, "
BACK_ORIGIN = r"^back: link back after \d+ s on 127\.0\.0\.1, 3 connections kept$"
LOST_REMOTE = r"^lost: origin box after \d+ s of silence: silent for longer than"
LOST_ORIGIN = r"^lost: silent for longer than the hold \(after \d+ s of silence\)"

# Messages of log lines. `logged` returns a pattern for a message and its fields.

CERTIFICATE_RENEWED = "certificate renewed"
CHECK_FAILED = "startup check found a problem"
CLIENT_ACCEPTED = "client accepted"
CLIENT_CLOSED = "client closed"
CONNECT_FAILED = "connect failed, retrying"
DIRECTORY_WRITABLE = "directory writable by a group"
DRAIN_STARTED = "drain started"
ENGINE_SELECTED = "engine selected"
LINES_LOST = "log lines lost"
LINK_ESTABLISHED = "link established"
LINK_LOST = "link lost"
LINK_SILENT = "link silent"
ORIGIN_CONNECTED = "origin connected"
ORIGIN_DISCONNECTED = "origin disconnected"
PROOF_FAILED = "proof failed"
PROTOCOL_VIOLATION = "protocol violation"
RESET_KEY_NOT_SAVED = "reset key not saved, restarts are noticed later"
RESET_KEY_NOT_USED = "reset key not used, restarts are noticed later"
SECRET_READABLE = "secret readable by other users"
SERVER_REFUSED = "connect to origin server failed"

# Sentences that users read when a program ends or waits.

TAKEN_OVER = "has taken over; give each origin its own --name and port"
UDP_BLOCKED = "UDP may be blocked"
REMOTE_RESTARTED = "the remote has dropped this link: it was restarted, or another origin has"
PROCESS_ENDED = "the other end's process has ended"
HOLD_OVER = "silent for longer than the hold"
NO_ORIGIN_IN_TIME = "no origin connected in time"
BAD_TOKEN = "does not accept this token"
PROOF_WRONG = "the remote's proof is wrong"
MAN_IN_THE_MIDDLE = "something in between terminates TLS"
NOT_A_REMOTE = "it is not a quictunnel remote"
NOT_PROVEN = "retrying slowly, because the peer has not proven that it is the remote"
TOKEN_NEEDED = "give the remote's token with QUICTUNNEL_TOKEN or --token-file"


def logged(message: str, **fields: str) -> str:
    """Return a pattern for a log line with this message, and with fields in the order given.

    :param fields: patterns for values, by field.
    """
    return " .*".join([f"  {message}\\b", *(f"{name}={value}" for name, value in fields.items())])


# The programs

PYTHON = Path(sys.executable)

QUICTUNNEL = PYTHON.with_name("quictunnel")
"""The program as installed beside this Python."""

PATIENCE = 20.0
"""Seconds after which a wait has failed. On a quiet machine each takes a fraction of one."""

STOP_WITHIN = 5.0
"""Seconds between the signals that `stop` sends."""

POLL_INTERVAL = 0.01
"""Seconds between two looks at a program's output."""

LOG_TAIL = 1500
"""Characters of a program's output that an error message carries."""


class MissingError(Exception):
    """A program that is needed is not installed; the message names it."""


class ProgramError(Exception):
    """A program failed, or did not do in time what was waited for. The message has its output."""


class Program:
    """One running program. As a context manager, it stops the program at the end.

    :param name: names its output files.
    :param scratch: a folder for its standard output (NAME.out) and standard error (NAME.log).
    :param environment: variables to set beside our own environment.
    """

    def __init__(
        self, name: str, command: Sequence[object], scratch: Path, **environment: str
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.output = scratch / f"{name}.out"
        self.log = scratch / f"{name}.log"
        self.ready = ""
        """The line by which it reported that it is ready, once that was waited for."""
        self._is_expected_to_end = False
        with self.output.open("wb") as output, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=clean_environment() | environment,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __str__(self) -> str:
        code = self.process.poll()
        state = "running" if code is None else f"ended with {code}"
        return f"{self.name} ({state}): {self.last_words()}"

    # Output

    @property
    def stdout(self) -> str:
        """Its standard output so far."""
        return self.output.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """Its standard error so far."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """Return the end of its output."""
        return f"{self.stdout}{self.stderr}"[-LOG_TAIL:].strip()

    def wait_for(self, pattern: str, *, times: int = 1, within: float = PATIENCE) -> re.Match[str]:
        """Wait for a line of its standard output; return the match in the `times`-th such line.

        :raises ProgramError: the line did not come in time.
        """
        return self._wait_for(self.output, pattern, times, within)

    def wait_for_log(
        self, pattern: str, *, times: int = 1, within: float = PATIENCE
    ) -> re.Match[str]:
        """Wait for a line of its standard error; return the match in the `times`-th such line.

        :raises ProgramError: the line did not come in time.
        """
        return self._wait_for(self.log, pattern, times, within)

    def wait_until_ready(self) -> str:
        """Wait until it prints a line that begins with `ready`; return the line.

        :raises ProgramError: it ended, or was not ready in time.
        """
        self.ready = self.wait_for("^ready.*")[0]
        return self.ready

    def _wait_for(self, file: Path, pattern: str, times: int, within: float) -> re.Match[str]:
        wanted = re.compile(pattern)
        deadline = time.monotonic() + within
        while True:
            has_ended = self.process.poll() is not None
            text = file.read_text(errors="replace")
            lines = text[: text.rfind("\n") + 1].splitlines()
            found = [match for line in lines if (match := wanted.search(line))]
            if len(found) >= times:
                return found[times - 1]
            if has_ended or time.monotonic() > deadline:
                raise ProgramError(f"waited for {pattern!r} in {file.name} of {self}")
            time.sleep(POLL_INTERVAL)

    # Cost

    def cpu(self) -> float:
        """Return the CPU seconds used so far by all its threads, user and system."""
        # clock_getcpuclockid(3) on Linux: ~pid << 3 | CPUCLOCK_SCHED. In nanoseconds, where
        # /proc/PID/stat has ticks of 10 ms.
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def memory(self) -> int:
        """Return its proportional set size in bytes: shared pages count in part."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise ProgramError(f"no memory figures: {self}")

    def resident_memory(self) -> int:
        """Return its resident set size in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ProgramError(f"no memory figures: {self}")

    # Its end

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._is_expected_to_end = True

    def wait(self, within: float = PATIENCE) -> int:
        """Wait until it ends by itself; return its exit code.

        :raises ProgramError: it did not end in time.
        """
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise ProgramError(f"waited for the end of {self}") from None
        self._is_expected_to_end = True
        return code

    def stop(self) -> None:
        """End it: SIGTERM, another SIGTERM for programs that drain first, then SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_WITHIN)
                break

    def end(self) -> None:
        """End it with SIGTERM unless it has ended, and assert that nothing went wrong in it."""
        try:
            if not self._is_expected_to_end:
                self.signal(signal.SIGTERM)
                assert self.wait() == 0, str(self)
            assert "Traceback" not in self.stderr, str(self)
        finally:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(
    name: str, command: Sequence[object], scratch: Path, **environment: str
) -> Iterator[Program]:
    """Run a program that prints a `ready` line; stop it at the end. See `Program`.

    :raises ProgramError: it ended, or was not ready in time.
    """
    with Program(name, command, scratch, **environment) as program:
        program.wait_until_ready()
        yield program


class Programs:
    """The programs that a test has started.

    :param scratch: a folder for their output.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._started: list[Program] = []

    def start(self, name: str, *command: object, **environment: str) -> Program:
        """Start a program, without waiting until it is ready."""
        number = sum(program.name.partition("-")[0] == name for program in self._started) + 1
        program = Program(f"{name}-{number}", command, self.scratch, **environment)
        self._started.append(program)
        return program

    def quictunnel(self, *words: object, **environment: str) -> Program:
        """Start `quictunnel` with these arguments, without waiting until it is ready."""
        return self.start(str(words[0]), QUICTUNNEL, *words, **environment)

    def end(self) -> None:
        """End all programs at the same time; raise the errors of all."""
        with ThreadPoolExecutor() as threads:
            endings = [threads.submit(program.end) for program in self._started]
        failures = [error for ending in endings if (error := ending.exception()) is not None]
        self._started.clear()
        if failures:
            raise BaseExceptionGroup("programs that failed", failures)

    def stop(self) -> None:
        """Stop all programs at the same time, whatever has happened to them."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(Program.stop, self._started))
        self._started.clear()


def clean_environment() -> dict[str, str]:
    """Return our environment without the settings and the state of a developer for quictunnel."""
    ours = ("QUICTUNNEL_", "STATE_DIRECTORY", "RUNTIME_DIRECTORY")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"XDG_STATE_HOME": _state_home().name}


@functools.cache
def _state_home() -> tempfile.TemporaryDirectory[str]:
    """Return a directory for state, which is removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix="quictunnel-state-")


def free_port() -> int:
    """Return a port that is free for TCP and UDP, outside the range of ephemeral ports."""
    while True:
        port = random.randrange(20_000, 32_000)
        with (
            contextlib.suppress(OSError),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
        ):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that are free for TCP.

    They are below those of `free_port`, so that tests that run at the same time seldom take one.
    """
    while True:
        first = random.randrange(10_000, 20_000 - count)
        with contextlib.suppress(OSError):
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
            return first
