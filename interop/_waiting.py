"""Waiting for programs that do not say when they are ready, and ports for those that take no 0."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, TypeVar

from interop._facts import MissingError
from testkit.programs import Program, ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from testkit.programs import Program

T = TypeVar("T")

WITHIN = 20.0
"""Seconds for a program to listen, or to write a line into its log."""

LOOK_AGAIN = 0.02
"""Seconds between two looks: such programs tell neither by themselves."""


def wait(look: Callable[[], T | None], what: str, within: float = WITHIN) -> T:
    """Look until something true is seen, and return it.

    :param within: seconds.
    :raises ProgramError: it was not seen in time.
    """
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ProgramError(f"waited {within:.0f} s for {what}")
        time.sleep(LOOK_AGAIN)
    return found


@contextlib.contextmanager
def listening(
    name: str, command: Sequence[str | Path], scratch: Path, port: int, **environment: str
) -> Iterator[Program]:
    """Run a program until it listens on a TCP port of 127.0.0.1; stop it at the end.

    :param scratch: a folder for what it prints, in NAME.log.
    :param environment: what it is to find beside our own environment.
    :raises ProgramError: it ended, or does not listen in time.
    """
    with Program(name, command, scratch, **environment) as program:

        def listens() -> bool:
            if program.process.poll() is not None:
                raise ProgramError(f"{name} ended at once: {program.last_words()}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait(listens, f"the port of {name}")
        yield program


def need_ipv6() -> None:
    """Ask whether this machine has IPv6, on loopback at least.

    :raises MissingError: it is off.
    """
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        raise MissingError("IPv6 is off on this machine") from None
