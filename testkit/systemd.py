"""A machine with its own systemd, made of Linux namespaces, which runs units as they are.

The machine has the programs of this host, a root file system in memory, and loopback. It lives as
long as the process that holds it, which lives until its standard input is closed. The standard
input is open in our process, so nothing is left behind, however we end. This needs root.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from testkit.namespaces import network_of
from testkit.programs import PATIENCE, POLL_INTERVAL, PYTHON, ProgramError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = ("ip", "mount", "nsenter", "pivot_root", "systemctl", "unshare")
"""The programs that the machine needs, besides systemd's own."""

MANAGERS = (Path("/usr/lib/systemd/systemd"), Path("/lib/systemd/systemd"))
"""Where distributions install systemd."""

UNITS = Path("/etc/systemd/system")

TARGETS = ("basic", "multi-user", "network-online", "shutdown", "sysinit")
"""Targets that units refer to. Here, they are reached at once."""

OUTPUT = "[Service]\nStandardOutput=append:/var/log/%n\nStandardError=append:/var/log/%n\n"
"""Replaces the journal, which the machine does not have."""

HOLD = Path(__file__).with_name("systemd_hold.sh")
BOOT = Path(__file__).with_name("systemd_boot.sh")

PROGRAM = Path("/opt/quictunnel")
INTERPRETER = Path("/opt/python")
"""Where the machine has quictunnel, and a Python that is not in /usr."""


class SystemdMachine:
    """A machine that systemd has booted. As a context manager, it ends at the end.

    :param scratch: a folder for its files.
    :param units: the units' text, by name.
    :raises ProgramError: systemd does not start.
    """

    def __init__(self, scratch: Path, units: Mapping[str, str]) -> None:
        self._scratch = scratch
        scratch.mkdir()
        self._console = scratch / "console"
        self._console.touch()
        mounts: list[tuple[Path, Path]] = []
        # Without an identity, it would be the machine's first boot, which enables all units.
        self._write(Path("/etc/machine-id"), f"{uuid.uuid4().hex}\n")
        self._add_targets()
        self._add_program(mounts)
        for name, text in units.items():
            self._write(UNITS / name, text)
            self._write(UNITS / f"{name}.d" / "output.conf", OUTPUT)
        lines = [f"{source}\t{target}\n" for source, target in mounts]
        (scratch / "mounts").write_text("".join(lines))
        hold = ["sh", "-e", str(HOLD), str(scratch), str(_manager()), str(BOOT)]
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--ipc", "--uts", *hold],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pid = 0
        try:
            self._pid = self._wait_for_boot()
        except ProgramError:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def path(self, path: str) -> Path:
        """Return where this host sees a file of the machine."""
        return Path(f"/proc/{self._pid}/root{path}")

    def run(self, *command: object) -> str:
        """Run a command on the machine as root, and return its output.

        :raises ProgramError: it failed.
        """
        done = self._run(*command)
        if done.returncode:
            raise ProgramError(f"{command} ended with {done.returncode}: {done.stderr}\n{self}")
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit, such as `ExecMainStatus`."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def log(self, unit: str) -> str:
        """Return what a unit has printed and logged so far."""
        path = self.path(f"/var/log/{unit}")
        return path.read_text() if path.exists() else ""

    def wait_for(self, unit: str, text: str, *, times: int = 1) -> None:
        """Wait until a unit has printed or logged a text.

        :raises ProgramError: it has not in time.
        """
        deadline = time.monotonic() + PATIENCE
        while self.log(unit).count(text) < times:
            if time.monotonic() > deadline:
                raise ProgramError(f"waited for {text!r} of {unit}: {self.log(unit)}\n{self}")
            time.sleep(POLL_INTERVAL)

    def connect(self, port: int) -> socket.socket:
        """Connect to a TCP port of the machine's loopback."""
        with network_of(self._pid):
            return socket.create_connection(("127.0.0.1", port), PATIENCE)

    def server(self) -> socket.socket:
        """Return a TCP server on a free port of the machine's loopback."""
        with network_of(self._pid):
            return socket.create_server(("127.0.0.1", 0))

    def end(self) -> None:
        """End all its processes, and remove its control groups."""
        self._holder.communicate()

    def __str__(self) -> str:
        return f"systemd: {self._console.read_text(errors='replace')[-1500:]}"

    # The files

    def _add_targets(self) -> None:
        for name in TARGETS:
            self._write(UNITS / f"{name}.target", "[Unit]\nDefaultDependencies=no\n")

    def _add_program(self, mounts: list[tuple[Path, Path]]) -> None:
        """Add quictunnel as it is installed beside this Python, at the place that units name.

        Units hide the homes of users, where our own installation may be.
        """
        base = Path(sys.base_prefix)
        interpreter = Path(os.path.realpath(PYTHON))
        variables = {"PYTHONPATH": PROGRAM / "source"}
        if not base.is_relative_to("/usr"):
            mounts.append((base, INTERPRETER))
            interpreter = INTERPRETER / interpreter.relative_to(base)
            variables["LD_LIBRARY_PATH"] = INTERPRETER / "lib"
        python = PROGRAM / "bin" / "python"
        self._place(python).symlink_to(interpreter)
        self._write(PROGRAM / "pyvenv.cfg", f"home = {interpreter.parent}\n")
        settings = " ".join(f"{name}={value}" for name, value in variables.items())
        script = f'#!/bin/sh\nexport {settings}\nexec {python} -m quictunnel "$@"\n'
        self._write(PROGRAM / "bin" / "quictunnel", script).chmod(0o755)
        packages = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}")
        packages /= "site-packages"
        mounts.append((PYTHON.parents[1] / packages, PROGRAM / packages))
        source = Path(__file__).parents[1] / "quictunnel"
        mounts.append((source, variables["PYTHONPATH"] / source.name))

    def _place(self, path: Path) -> Path:
        place = self._scratch / "files" / str(path).removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _write(self, path: Path, text: str) -> Path:
        place = self._place(path)
        place.write_text(text)
        return place

    # The processes

    def _wait_for_boot(self) -> int:
        """Return the process id of systemd, once it answers.

        :raises ProgramError: it does not in time.
        """
        assert self._holder.stdout is not None
        holder = self._holder.stdout.readline().strip()
        children = Path(f"/proc/{holder}/task/{holder}/children")
        deadline = time.monotonic() + PATIENCE
        while holder and time.monotonic() < deadline:
            try:
                found = children.read_text().split()
            except OSError:
                break  # it has ended
            if found:
                self._pid = int(found[0])
                if self._run("systemctl", "is-system-running").stdout.strip() == "running":
                    return self._pid
            time.sleep(POLL_INTERVAL)
        raise ProgramError(f"systemd does not start in namespaces here\n{self}")

    def _run(self, *command: object) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--net", "--ipc", "--uts"]
        words = [*enter, "--cgroup", "--", *map(str, command)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)


def what_is_missing() -> str:
    """Return why there can be no such machine here, or an empty string."""
    if os.geteuid() != 0:
        return "this starts systemd in namespaces, so it must run as root"
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if _manager() is None:
        lacking.append("systemd")
    if lacking:
        return f"this starts systemd in namespaces, and needs the programs {', '.join(lacking)}"
    return ""


def _manager() -> Path | None:
    return next((path for path in MANAGERS if path.exists()), None)
