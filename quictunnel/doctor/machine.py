"""Checks of this machine: socket buffers, offloads, descriptors, engines."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from quictunnel.config.settings import EngineName
from quictunnel.doctor.check import LocalCheck
from quictunnel.doctor.finding import Finding, failed, ok, warning
from quictunnel.errors import SettingsError
from quictunnel.quic.engines.selection import (
    EngineKind,
    EngineMissingError,
    install_advice,
    installed,
)
from quictunnel.quic.path.udp import BUFFER_SIZE, granted_buffers, offloads

FEW_CLIENTS = 900
"""Clients below which the limit of open files is worth a warning. 1,024 files are a usual limit."""

TOO_FEW_CLIENTS = 16
"""Clients below which a browser alone exceeds the limit."""

_RAISE_FILES = (
    "raise the limit of open files: LimitNOFILE=1048576 in the systemd unit, --ulimit nofile of a "
    "container, or 'ulimit -n' in the shell"
)


class SocketBuffers(LocalCheck):
    """Checks that the kernel grants UDP sockets the buffers that fast links need."""

    title = "socket buffers"

    def examine(self) -> list[Finding]:
        """Request the buffers, as a role does."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            receive, send = granted_buffers(sock)
        if min(receive, send) >= BUFFER_SIZE:
            return [ok(self.title, f"UDP sockets get buffers of {BUFFER_SIZE // 1024} KiB")]
        sysctl = f"sysctl -w net.core.rmem_max={BUFFER_SIZE} net.core.wmem_max={BUFFER_SIZE}"
        return [
            warning(
                self.title,
                f"UDP sockets get buffers of {receive // 1024} KiB for receiving and "
                f"{send // 1024} KiB for sending, and fast links need {BUFFER_SIZE // 1024} KiB",
                f"as root: {sysctl}; a file in /etc/sysctl.d keeps it"
                if sys.platform == "linux"
                else f"as root: sysctl -w kern.ipc.maxsockbuf={2 * BUFFER_SIZE}",
            )
        ]


class Offloads(LocalCheck):
    """Checks that the kernel moves many datagrams with one call."""

    title = "UDP offloads"

    def examine(self) -> list[Finding]:
        """Request GSO and GRO, as a role does."""
        if sys.platform != "linux":
            return [ok(self.title, "this system has none; a fast link costs more processor time")]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            gso, gro = offloads(sock)
        if gso and gro:
            return [ok(self.title, "the kernel sends and receives datagrams in batches (GSO, GRO)")]
        missing = " and ".join(name for name, has in (("GSO", gso), ("GRO", gro)) if not has)
        return [
            warning(
                self.title,
                f"the kernel lacks {missing}, so a fast link costs more processor time",
                "use Linux 5.0 or newer",
            )
        ]


class Descriptors(LocalCheck):
    """Checks how many clients the limit of open files allows.

    :param max_clients: the clients that fit into it once it is raised as far as this user may.
    """

    title = "open files"

    def __init__(self, max_clients: int) -> None:
        self._max_clients = max_clients

    def examine(self) -> list[Finding]:
        """Compare the limit with the clients of a usual server."""
        count = self._max_clients
        if count >= FEW_CLIENTS:
            return [ok(self.title, f"the limit of open files allows {count:,} clients")]
        clients = "1 client" if count == 1 else f"{count} clients"
        level = failed if count < TOO_FEW_CLIENTS else warning
        sentence = f"the limit of open files (descriptors) allows only {clients} at a time"
        return [level(self.title, sentence, _RAISE_FILES)]


class Engines(LocalCheck):
    """Checks that a QUIC engine works, and which one is used.

    :param wanted: the value of `--engine`.
    """

    title = "QUIC engine"

    def __init__(self, wanted: EngineName = "auto") -> None:
        self._wanted = wanted

    def examine(self) -> list[Finding]:
        """Load the engines."""
        found = installed()
        if self._wanted != "auto":
            found = {self._wanted: found[self._wanted]}
        working = [kind for kind in found.values() if isinstance(kind, EngineKind)]
        reasons = [exc for exc in found.values() if isinstance(exc, SettingsError)]
        if not working:
            why = "; ".join(map(str, reasons))
            return [
                failed(self.title, f"no engine works: {why}", "use --engine auto, or reinstall")
            ]
        broken = [exc for exc in reasons if not isinstance(exc, EngineMissingError)]
        used = f"{working[0].name} {working[0].version} is used"
        install = install_advice(Path(sys.prefix))
        if broken:
            return [warning(self.title, f"{used}; {broken[0]}", f"reinstall it: {install}")]
        if reasons:
            faster = f"quinn moves several times as many bytes with the same processor: {install}"
            return [ok(self.title, used, faster)]
        return [ok(self.title, used)]
