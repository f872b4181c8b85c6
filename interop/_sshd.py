"""OpenSSH's server as the origin server, with keys of its own, and how its client is called."""

from __future__ import annotations

import contextlib
import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ways import free_port
from interop._commands import said
from interop._facts import program
from interop._waiting import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

SEPARATION = Path("/run/sshd")
"""An empty folder without which sshd does not start as root; Debian makes it with the service."""

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
"""


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
        settings = {
            "UserKnownHostsFile": f"{self.folder}/known",
            "HostKeyAlias": "interop",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": f"{self.folder}/user",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        words = ["-F", "none"]
        for name, value in settings.items():
            words += ["-o", f"{name}={value}"]
        return words

    def ssh(self, port: int, *words: str) -> list[str]:
        """Return the command of a client that comes by some port."""
        user = f"{getpass.getuser()}@127.0.0.1"
        return [program("ssh"), *self.options, "-p", str(port), *words, user]


@contextlib.contextmanager
def sshd(scratch: Path) -> Iterator[SshServer]:
    """Run OpenSSH's server, into which the user who runs this may log in with a key made for it.

    :raises MissingError: it is not installed.
    """
    command = program("sshd")
    keygen = program("ssh-keygen")
    folder = scratch / "sshd"
    folder.mkdir()
    for name in ("host", "user"):
        said([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name])
    key = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"interop {key}")
    port = free_port()
    config = folder / "config"
    config.write_text(CONFIG.format(port=port, folder=folder))
    if not os.geteuid():
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
    with listening("sshd", [command, "-D", "-e", "-f", config], scratch, port):
        yield SshServer(port, folder)
