"""Finds the process that holds a port of this machine, as far as this user may know (Linux)."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_LISTENING = {"tcp": "0A", "udp": "07"}
"""The states of sockets that hold a port, in /proc/net (proc_pid_net(5))."""

_SOCKET = re.compile(r"socket:\[(\d+)\]")

SHOWN_WORDS = 3
"""Words of a command line that are shown. They identify a program. Later ones may be secrets."""

MAX_COMMAND = 60
"""Characters of them that are shown."""


@dataclass(frozen=True, slots=True)
class PortHolder:
    """A process that holds a port."""

    pid: int
    command: str
    """The first words of its command line."""
    is_remote: bool
    """Whether it is a remote of quictunnel."""

    def __str__(self) -> str:
        """Return the process in words."""
        return f"process {self.pid} ({self.command})"


def holder_of(protocol: str, port: int, proc: Path = PROC) -> PortHolder | None:
    """Return the process that listens on a port; None if this user may not know it.

    :param protocol: `tcp` or `udp`.
    """
    inodes = _inodes(protocol, port, proc)
    if not inodes:
        return None
    for process in proc.iterdir():
        if process.name.isdecimal() and _has_socket(process, inodes):
            words = _words(process)
            shown = " ".join(word for word in words[:SHOWN_WORDS] if not word.startswith("-"))
            is_remote = any("quictunnel" in word for word in words) and "remote" in words
            return PortHolder(int(process.name), shown[:MAX_COMMAND] or "unknown", is_remote)
    return None


def _inodes(protocol: str, port: int, proc: Path) -> set[str]:
    inodes = set()
    for name in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / name).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if (
                    len(fields) > 9
                    and int(fields[1].rpartition(":")[2], 16) == port
                    and fields[3] == _LISTENING[protocol]
                ):
                    inodes.add(fields[9])
    return inodes


def _has_socket(process: Path, inodes: set[str]) -> bool:
    with contextlib.suppress(OSError):  # another user's, or it has ended
        for descriptor in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):
                match = _SOCKET.fullmatch(os.readlink(process / "fd" / descriptor))
                if match and match[1] in inodes:
                    return True
    return False


def _words(process: Path) -> list[str]:
    """Return the words of a process's command line, without the folders of files."""
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return [Path(word).name for word in words if word]
    return []
