"""Checks whether anything listens at the origin server's address, without connecting to it."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.session.resolver import look_up


async def is_server_missing(target: HostPort | UnixPath) -> bool:
    """Return whether certainly nothing listens at an address of this machine.

    It tries to bind the address, which fails while another program listens there. A test connection
    would look like a client to the origin server.
    """
    if isinstance(target, UnixPath):
        return not os.path.lexists(target.path)  # noqa: ASYNC240 - one stat call
    try:
        # Not the event loop's resolver: asyncio.run waits for it at the end, even if it hangs.
        found = await look_up(target.host, target.port, kind=socket.SOCK_STREAM)
    except OSError:
        return False
    errors = [_bind_error(family, address) for family, _, _, _, address in found]
    # Other errors say nothing: an address of another machine, or a port below 1024.
    return None in errors and errno.EADDRINUSE not in errors


def _bind_error(family: int, address: Any) -> int | None:  # noqa: ANN401 - as the socket module
    """Return the error of binding an address, or None if it is free."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as exc:
        return exc.errno
    return None
