"""Explains why a program cannot listen on an address. Opens no socket."""

from __future__ import annotations

import errno
import os

from quictunnel.config.addresses import HostPort
from quictunnel.errors import SettingsError

UNPRIVILEGED_PORT = 1024
"""First port that needs no privilege, by default."""

_OPTIONS = {"tcp": "--outside", "udp": "--listen"}
"""The remote's usual option for each protocol."""


def listen_error(
    protocol: str, listen: HostPort, exc: OSError, option: str | None = None
) -> SettingsError:
    """Return an error that says why, and what to do.

    :param protocol: `tcp` or `udp`.
    :param exc: the system's error.
    :param option: the option that sets the address; None for the usual one of the protocol.
    """
    if exc.errno == errno.EADDRINUSE:
        why = (
            "another program listens there already, perhaps another remote; "
            f"{option or _OPTIONS[protocol]} PORT selects another port"
        )
    elif exc.errno in (errno.EACCES, errno.EPERM):
        why = "this user may not use that port"
        if listen.port < UNPRIVILEGED_PORT:
            why += ": ports below 1024 need root or CAP_NET_BIND_SERVICE"
    elif exc.errno == errno.EADDRNOTAVAIL:
        why = "this machine does not have that address"
    else:
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror or str(exc)
    return SettingsError(f"cannot listen on {protocol} {listen}: {why}")
