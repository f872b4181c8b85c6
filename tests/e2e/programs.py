"""The installed program as a subprocess: start it, read what it says, signal it, see how it ends.

Not a test itself. Every wait is bounded by PATIENCE, and what a program said comes with a failure.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

QUICTUNNEL = Path(sys.executable).with_name("quictunnel")

PATIENCE = 20.0
"""Seconds after which a wait has failed; on a quiet machine each takes a fraction of one."""


class Program:
    """`quictunnel` with some arguments, running. Its pipes are drained from the start."""

    def __init__(self, *words: object, **environment: str) -> None:
        self.words = [str(word) for word in words]
        self.is_settled = False
        """Whether the test has seen its end, or brought it about."""
        self._said: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._open = 2
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [QUICTUNNEL, *self.words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment() | environment,
        )
        self._drains = [
            threading.Thread(target=self._drain, args=(name, pipe), daemon=True)
            for name, pipe in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        ]
        for drain in self._drains:
            drain.start()

    @property
    def stdout(self) -> str:
        """What it has said so far on standard output."""
        return "".join(self._said["stdout"])

    @property
    def stderr(self) -> str:
        """What it has said so far on standard error."""
        return "".join(self._said["stderr"])

    @property
    def memory(self) -> int:
        """Its resident memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def wait_for(self, pattern: str, *, on: str = "stdout", times: int = 1) -> re.Match:
        """Return the match in the line that says it, the `times`th one."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._matches(pattern, on)) >= times or not self._open, PATIENCE
            )
            found = self._matches(pattern, on)
        assert len(found) >= times, f"never said {pattern!r} on {on}: {self}"
        return found[times - 1]

    def logged(self, pattern: str, *, times: int = 1) -> re.Match:
        """Return the match in the log line that says it."""
        return self.wait_for(pattern, on="stderr", times=times)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a chance to say a word."""
        self._process.kill()
        assert self.ends() == -signal.SIGKILL

    def ends(self) -> int:
        """Return its exit code, once it has ended by itself."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self}") from None
        for drain in self._drains:
            drain.join(PATIENCE)
        self.is_settled = True
        return self._process.returncode

    def end(self) -> None:
        """End it in order, if it still runs, and see that nothing went wrong in its life."""
        try:
            if not self.is_settled:
                self.signal(signal.SIGTERM)
                assert self.ends() == 0, str(self)
            assert "Traceback" not in self.stderr, str(self)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(PATIENCE)

    def __str__(self) -> str:
        said = f"{self.stdout}{self.stderr}"
        code = self._process.poll()
        state = "runs" if code is None else f"ended with {code}"
        return f"quictunnel {' '.join(self.words)} ({state}) said:\n{said[-4000:]}"

    def _matches(self, pattern: str, on: str) -> list[re.Match]:
        found = (re.search(pattern, line) for line in self._said[on])
        return [match for match in found if match is not None]

    def _drain(self, name: str, pipe) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self._said[name].append(line)
                    self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()


class Programs:
    """Those that a test has started; all are ended with it, at the same time."""

    def __init__(self) -> None:
        self._started: list[Program] = []

    def start(self, *words: object, **environment: str) -> Program:
        program = Program(*words, **environment)
        self._started.append(program)
        return program

    def end(self) -> None:
        """End all of them, whatever happens to one; raises for those that did not do well."""
        with ThreadPoolExecutor() as threads:
            endings = [threads.submit(program.end) for program in self._started]
        failures = [failure for ending in endings if (failure := ending.exception()) is not None]
        self._started.clear()
        if failures:
            raise ExceptionGroup("programs that did not do well", failures)


def clean_environment() -> dict[str, str]:
    """The environment without what a developer may have set for their own tunnels."""
    ours = ("QUICTUNNEL_", "STATE_DIRECTORY", "XDG_STATE_HOME")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
