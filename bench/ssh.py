"""OpenSSH with its own keys and settings, without files of the user or the system.

For `ssh -R` as a way, and for the interop scripts.
"""

from __future__ import annotations

import getpass
import os
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

SEPARATION = Path("/run/sshd")
"""An empty folder that sshd needs to start as root. Debian creates it with the service."""

CONFIG = """
ListenAddress {address}
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
GatewayPorts clientspecified
ClientAliveInterval 5
ClientAliveCountMax 3
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
"""

ALIAS = "quictunnel"
"""The name of the server in the client's known hosts, at any address."""


def prepare(folder: Path, address: str, port: int) -> None:
    """Write the keys and settings of a server and a client into an empty folder.

    :param address: the address on which the server listens.
    """
    for name in ("host", "user"):
        key = Ed25519PrivateKey.generate()
        private = folder / name
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (folder / f"{name}.pub").write_bytes(public + b"\n")
    (folder / "known").write_text(f"{ALIAS} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(CONFIG.format(address=address, port=port, folder=folder))
    if not os.geteuid():
        SEPARATION.mkdir(mode=0o755, exist_ok=True)


def server(folder: Path) -> list[str]:
    """Return the command of the server, which must be called by its full path."""
    return [shutil.which("sshd") or "sshd", "-D", "-e", "-f", f"{folder}/config"]


def options(folder: Path) -> list[str]:
    """Return the options of ssh and scp to trust the server and to log in."""
    settings = {
        "UserKnownHostsFile": f"{folder}/known",
        "HostKeyAlias": ALIAS,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "IdentityFile": f"{folder}/user",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    words = ["-F", "none"]
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    return words


def login(address: str) -> str:
    """Return the destination of a login as the present user."""
    return f"{getpass.getuser()}@{address}"
