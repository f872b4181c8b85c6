"""Hosts of the laboratory: a network namespace each, with a hosts file of its own. Not a test.

A host lives as long as the process that holds it, and that one as long as its standard input is
open, which is here: however the tests end, nothing is left behind. Linux, and root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = ("ip", "mount", "nsenter", "setpriv", "unshare")

TUN = Path("/dev/net/tun")

SOCKET_BUFFER = 128 * 1024
"""Bytes: little, so that what waits there has soon passed at the end."""

CLONE_NEWNET = 0x40000000
"""Of setns(2): the descriptor is that of a network."""

HOLD = 'mount --bind "$0" /etc/hosts && ip link set lo up && echo held && exec cat'

_libc = ctypes.CDLL(None, use_errno=True)


def what_is_missing() -> str:
    """Return what the laboratory lacks here, in words; nothing if it can be built."""
    if os.geteuid() != 0:
        return "the laboratory makes network namespaces, so it must run as root"
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if lacking:
        return f"the laboratory needs the programs {', '.join(lacking)}"
    if not TUN.exists():
        return f"the laboratory needs {TUN} (mknod {TUN} c 10 200)"
    made = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"],
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stderr and f"the laboratory cannot make network namespaces: {made.stderr.strip()}"


class Host:
    """A host without any network yet but its loopback.

    :param names: what its hosts file is to say: addresses by name.
    :param scratch: a folder for that file.
    """

    def __init__(self, name: str, names: dict[str, Sequence[str]], scratch: Path) -> None:
        self.name = name
        hosts = scratch / f"hosts of {name}"
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{address} {known}" for known, all_of in names.items() for address in all_of]
        hosts.write_text("\n".join(lines) + "\n")
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", HOLD, hosts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout.readline() == b"held\n"

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    def inside(self, *command: object) -> list[str]:
        """Return the command that runs a command there; it dies with the thread that starts it."""
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt"]
        mortal = ["setpriv", "--pdeathsig", "KILL", "--"]
        return [*enter, "--", *mortal, *(str(word) for word in command)]

    def ip(self, *lines: str) -> None:
        """Have ip(8) do all this, in one go."""
        batch = self.inside("ip", "-batch", "-")
        done = subprocess.run(
            batch, input="\n".join(lines), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{self.name}: {done.stderr}"

    def socket(self) -> socket.socket:
        """Return a TCP socket that is there, though its user is here."""
        with network_of(self.pid):
            sock = socket.socket()
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
        return sock

    def end(self) -> None:
        """Let go of it: it vanishes with the last of its processes and sockets."""
        self._holder.communicate()


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Put this thread, for a while, into the network of a process."""
    with opened("/proc/thread-self/ns/net") as home, opened(f"/proc/{pid}/ns/net") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a file, to have its descriptor."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(network: int) -> None:
    if _libc.setns(network, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
