"""Hosts on this machine: a network namespace each, with a hosts file and devices of its own.

For the laboratory, and for lines between real kernels. A host lives as long as the process that
holds it, and that one as long as its standard input is open, which is here: however we end,
nothing is left behind. Linux, and root.
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
from typing import TYPE_CHECKING

from bench.processes import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = ("ip", "mount", "nsenter", "setpriv", "unshare")

TUN = Path("/dev/net/tun")

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

LARGEST = 2048
"""Bytes: more than a packet of such a device has, whose MTU is 1500."""

AT_ONCE = 32
"""Packets taken from one device before those that are due leave."""

CLONE_NEWNET = 0x40000000
"""Of setns(2): the descriptor is that of a network."""

HOLD = 'mount --bind "$0" /etc/hosts && ip link set lo up && echo held && exec cat'

_libc = ctypes.CDLL(None, use_errno=True)


def what_is_missing() -> str:
    """Return what hosts lack here, in words; nothing if they can be made."""
    if not Path("/proc/self/ns/net").exists():
        return "network namespaces are what hosts are made of, and only Linux has them"
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
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"held\n":
            raise ProgramError(f"{name}: no network namespace could be made for it")

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
        """Have ip(8) do all this, in one go.

        :raises ProgramError: it would not; the message carries what it said.
        """
        batch = self.inside("ip", "-batch", "-")
        done = subprocess.run(
            batch, input="\n".join(lines), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ProgramError(f"{self.name}: {done.stderr.strip()}")

    def socket(self) -> socket.socket:
        """Return a TCP socket that is there, though its user is here."""
        with network_of(self.pid):
            return socket.socket()

    def end(self) -> None:
        """Let go of it: it vanishes with the last of its processes and sockets."""
        self._holder.communicate()


def open_tun(name: str, pid: int) -> int:
    """Return the far end of a new network device of a host, held by the process `pid`."""
    with network_of(pid):
        tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def packets(tun: int) -> Iterator[bytes]:
    """Give what has come out of a host; nothing while the device is down."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(AT_ONCE):
            yield os.read(tun, LARGEST)


def write(tun: int, packet: bytes) -> None:
    """Put a packet into a host; it is lost while the device is down."""
    try:
        os.write(tun, packet)
    except OSError as exc:
        if exc.errno not in (errno.EIO, errno.EAGAIN):
            raise


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
