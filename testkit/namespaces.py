"""Where programs run: on this host, or on hosts made of Linux network namespaces.

A host made of namespaces has its own hosts file and its own devices. It lives as long as the
process that holds it, which lives until its standard input is closed. The standard input is
open in our process, so nothing is left behind, however we end. This needs Linux and root.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from testkit.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = ("ip", "mount", "nsenter", "setpriv", "unshare")
"""The programs that namespaces need."""

TUN = Path("/dev/net/tun")

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

LARGEST = 2048
"""Bytes: more than a packet of a device whose MTU is 1500."""

BATCH = 32
"""Packets to take from one device before others have their turn."""

CLONE_NEWNET = 0x40000000
"""The argument of setns(2) for a network namespace."""

HOLD = 'mount --bind "$0" /etc/hosts && ip link set lo up && echo held && exec cat'


class ProgramHost(Protocol):
    """A host on which programs run and sockets are opened."""

    def command(self, *command: object) -> list[str]:
        """Return the command that runs `command` on this host."""

    def socket(self) -> socket.socket:
        """Return a TCP socket in the network of this host, for use in our process."""


class ThisHost:
    """The host that we run on."""

    def command(self, *command: object) -> list[str]:
        """Return the command as it is."""
        return [str(word) for word in command]

    def socket(self) -> socket.socket:
        """Return a TCP socket."""
        return socket.socket()


THIS_HOST = ThisHost()


class NamespaceHost:
    """A host with no network but loopback.

    :param names: addresses by host name, for its hosts file.
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
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"held\n":
            raise ProgramError(f"{name}: no network namespace could be made for it")

    @property
    def pid(self) -> int:
        """The process that holds the namespaces."""
        return self._holder.pid

    def command(self, *command: object) -> list[str]:
        """Return the command that runs `command` here. It dies with the thread that starts it."""
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt"]
        mortal = ["setpriv", "--pdeathsig", "KILL", "--"]
        return [*enter, "--", *mortal, *(str(word) for word in command)]

    def ip(self, *lines: str) -> None:
        """Configure the network with these lines for `ip -batch`.

        :raises ProgramError: ip failed; the message carries its error.
        """
        batch = self.command("ip", "-batch", "-")
        done = subprocess.run(
            batch, input="\n".join(lines), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ProgramError(f"{self.name}: {done.stderr.strip()}")

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        """Return a TCP socket in this host's network."""
        with network_of(self.pid):
            return socket.socket(family)

    def end(self) -> None:
        """Release the host. It vanishes with the last of its processes and sockets."""
        self._holder.communicate()


def what_is_missing() -> str:
    """Return why namespaces cannot be made here, or an empty string."""
    if not Path("/proc/self/ns/net").exists():
        return "this needs network namespaces, which only Linux has"
    if os.geteuid() != 0:
        return "this makes network namespaces, so it must run as root"
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if lacking:
        return f"this makes network namespaces, and needs the programs {', '.join(lacking)}"
    if not TUN.exists():
        return f"this needs {TUN} (mknod {TUN} c 10 200)"
    made = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"],
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stderr and f"network namespaces cannot be made here: {made.stderr.strip()}"


def open_tun(name: str, pid: int) -> int:
    """Make a network device on the host that process `pid` holds; return its far end."""
    with network_of(pid):
        tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def packets(tun: int) -> Iterator[bytes]:
    """Yield the packets that a host has sent to a device."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(BATCH):
            yield os.read(tun, LARGEST)


def write(tun: int, packet: bytes) -> None:
    """Let a host receive a packet from a device. The packet is lost while the device is down."""
    try:
        os.write(tun, packet)
    except OSError as exc:
        if exc.errno not in (errno.EIO, errno.EAGAIN):
            raise


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Move this thread into the network namespace of a process for a while."""
    with _opened("/proc/thread-self/ns/net") as home, _opened(f"/proc/{pid}/ns/net") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
