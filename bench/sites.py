"""Where the ends of a way stand: both on this machine, or each on a host of its own."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

LOOPBACK = "127.0.0.1"


class Machine(Protocol):
    """Where programs run, and clients."""

    def inside(self, *command: object) -> list[str]:
        """Return the command that runs a command there."""

    def socket(self) -> socket.socket:
        """Return a TCP socket that is there, though its user is here."""


class Here:
    """This machine itself."""

    def inside(self, *command: object) -> list[str]:
        return [str(word) for word in command]

    def socket(self) -> socket.socket:
        return socket.socket()


@dataclass(frozen=True)
class Site:
    """Two machines, and by which addresses they know each other."""

    remote: Machine
    """Where a tunnel's remote end stands, and its clients."""
    origin: Machine
    """Where a tunnel's origin end stands, and the origin server."""
    remote_address: str
    """By which the origin end reaches the remote one; clients reach that there, too."""
    server_door: str
    """The address on which the origin server listens: on loopback, or also for those who come to
    it directly."""
    server_address: str
    """By which clients reach the origin server directly."""


HERE = Site(Here(), Here(), LOOPBACK, LOOPBACK, LOOPBACK)
"""All over loopback."""
