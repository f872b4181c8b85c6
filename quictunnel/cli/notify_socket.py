"""The notification socket of a service manager: the protocol of sd_notify(3).

A message is one datagram of lines `NAME=value`. systemd has named the socket in NOTIFY_SOCKET, and
other service managers do the same.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import MutableMapping

from quictunnel.errors import SettingsError

VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLES = ("WATCHDOG_USEC", "WATCHDOG_PID")

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"

MAX_STATUS = 200
"""Characters of a status that are sent."""

_is_number = re.compile(r"[0-9]{1,20}").fullmatch
"""Whether a text is a number of 64 bits, such as those of systemd."""


class NotifySocket:
    """Sends messages to the service manager. It never blocks.

    :param address: the value of NOTIFY_SOCKET: an absolute path, or `@` and an abstract name.
    :raises SettingsError: it is neither.
    """

    def __init__(self, address: str) -> None:
        if address[:1] not in ("/", "@") or len(address) == 1:
            raise SettingsError(
                f"{VARIABLE} {address!r} is neither an absolute path nor an abstract name"
            )
        # Linux marks abstract names with a zero byte.
        self._address = f"\0{address[1:]}" if address[0] == "@" else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, *lines: str) -> None:
        """Send one message.

        :raises OSError: the manager has gone, or its socket is full.
        """
        self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)

    def close(self) -> None:
        """Close our end."""
        self._socket.close()


def open_notify_socket(environment: MutableMapping[str, str]) -> NotifySocket | None:
    """Return the service manager's socket, or None without one.

    The variable is removed, so that no child process sends messages in our name.

    :raises SettingsError: the variable has a value that is no address.
    """
    address = environment.pop(VARIABLE, "")
    return NotifySocket(address) if address else None


def watchdog_interval(environment: MutableMapping[str, str]) -> float | None:
    """Return the seconds within which the manager's watchdog expects a sign, or None without one.

    The variables are removed. They may be meant for another process (sd_watchdog_enabled(3)).

    :raises SettingsError: the interval is not a positive number.
    """
    text, pid = (environment.pop(name, "") for name in WATCHDOG_VARIABLES)
    if not text or (pid and pid != str(os.getpid())):
        return None
    if not (_is_number(text) and int(text)):
        raise SettingsError(f"{WATCHDOG_VARIABLES[0]} {text!r} is not a number of microseconds")
    return int(text) / 1e6


def status(sentence: str) -> str:
    """Return the line with what the service does now, in one line of plain words."""
    return f"STATUS={' '.join(sentence.split())[:MAX_STATUS]}"


def reloading() -> str:
    """Return the lines that say that the configuration is being read again, from now on."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    return f"RELOADING=1\nMONOTONIC_USEC={now}"


def extend_timeout(seconds: float) -> str:
    """Return the line that asks for this time, unless the manager allows more anyway."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"
