"""Why an address cannot be listened on, in one sentence. Opens no socket."""

from __future__ import annotations

import errno
import os

from quictunnel.config.addresses import HostPort
from quictunnel.errors import SettingsError

UNPRIVILEGED_PORT = 1024
"""The first port that everybody may use, unless the administrator has said otherwise."""


def listen_error(carrier: str, listen: HostPort, exc: OSError) -> SettingsError:
    """Return the sentence for an address that cannot be listened on.

    :param carrier: `tcp` or `udp`.
    :param exc: what the system said.
    """
    if exc.errno == errno.EADDRINUSE:
        why = "another program listens there already"
    elif exc.errno in (errno.EACCES, errno.EPERM):
        why = "this user may not use that port"
        if listen.port < UNPRIVILEGED_PORT:
            why += ": those below 1024 are for root, and for programs with CAP_NET_BIND_SERVICE"
    elif exc.errno == errno.EADDRNOTAVAIL:
        why = "this machine does not have that address"
    else:
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror or str(exc)
    return SettingsError(f"cannot listen on {carrier} {listen}: {why}")
