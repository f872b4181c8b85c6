"""OpenSSH's server as the origin server, with its own keys, and the commands of its client."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import ssh
from interop._facts import program
from interop._waiting import listening
from testkit.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class SshServer:
    """A running sshd."""

    port: int
    folder: Path

    @property
    def address(self) -> str:
        """The address, as `quictunnel origin --origin` takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def options(self) -> list[str]:
        """The options of ssh and scp to trust it and to log in."""
        return ssh.options(self.folder)

    def ssh(self, port: int, *words: str) -> list[str]:
        """Return the command of a client that connects to a port."""
        return [program("ssh"), *self.options, "-p", str(port), *words, ssh.login("127.0.0.1")]


@contextlib.contextmanager
def sshd(scratch: Path) -> Iterator[SshServer]:
    """Run OpenSSH's server, with a key for the present user to log in.

    :raises MissingError: it is not installed.
    """
    program("sshd")
    folder = scratch / "sshd"
    folder.mkdir()
    port = free_port()
    ssh.prepare(folder, "127.0.0.1", port)
    with listening("sshd", ssh.server(folder), scratch, port):
        yield SshServer(port, folder)
