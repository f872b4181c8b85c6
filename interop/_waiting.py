"""Waits for programs that do not report when they are ready."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, TypeVar

from testkit.namespaces import THIS_HOST
from testkit.programs import MissingError, Program, ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from testkit.namespaces import ProgramHost
    from testkit.programs import Program

T = TypeVar("T")

WITHIN = 20.0
"""Seconds for a program to listen, or to write a line to its log."""

POLL_INTERVAL = 0.02
"""Seconds between two polls."""


def wait(look: Callable[[], T | None], what: str, within: float = WITHIN) -> T:
    """Poll until `look` returns something true, and return that.

    :param what: what is waited for, for the error message.
    :param within: seconds.
    :raises ProgramError: it did not happen in time.
    """
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ProgramError(f"waited {within:.0f} s for {what}")
        time.sleep(POLL_INTERVAL)
    return found


@contextlib.contextmanager
def listening(
    name: str, command: Sequence[str | Path], scratch: Path, port: int, **environment: str
) -> Iterator[Program]:
    """Run a program, wait until it listens on a TCP port of 127.0.0.1, and stop it at the end.

    :param scratch: a folder for its output.
    :param environment: variables to set beside our own environment.
    :raises ProgramError: it ended, or did not listen in time.
    """
    with Program(name, command, scratch, **environment) as program:
        wait_until_listening(program, port)
        yield program


def wait_until_listening(program: Program, port: int, host: ProgramHost = THIS_HOST) -> None:
    """Wait until a program listens on a TCP port of 127.0.0.1.

    :param host: where it runs.
    :raises ProgramError: it ended, or did not listen in time.
    """

    def listens() -> bool:
        if program.process.poll() is not None:
            raise ProgramError(f"{program.name} ended at once: {program.last_words()}")
        with host.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait(listens, f"the port of {program.name}")


def need_ipv6() -> None:
    """Check that this machine has IPv6 on loopback.

    :raises MissingError: it has none.
    """
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        raise MissingError("IPv6 is off on this machine") from None
