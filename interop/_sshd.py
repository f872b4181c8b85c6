"""OpenSSH's server as the origin server, with keys of its own, and how its client is called."""

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
    """An sshd that runs."""

    port: int
    folder: Path

    @property
    def address(self) -> str:
        """As `quictunnel origin --origin` takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def options(self) -> list[str]:
        """Return what ssh, scp and git need to trust it and to be let in."""
        return ssh.options(self.folder)

    def ssh(self, port: int, *words: str) -> list[str]:
        """Return the command of a client that comes by some port."""
        return [program("ssh"), *self.options, "-p", str(port), *words, ssh.login("127.0.0.1")]


@contextlib.contextmanager
def sshd(scratch: Path) -> Iterator[SshServer]:
    """Run OpenSSH's server, into which the user who runs this may log in with a key made for it.

    :raises MissingError: it is not installed.
    """
    program("sshd")
    folder = scratch / "sshd"
    folder.mkdir()
    port = free_port()
    ssh.prepare(folder, "127.0.0.1", port)
    with listening("sshd", ssh.server(folder), scratch, port):
        yield SshServer(port, folder)
