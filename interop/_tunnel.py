"""A tunnel for a script: the installed `quictunnel remote` and `quictunnel origin`, on loopback."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from quictunnel.errors import SettingsError
from quictunnel.quic.engines.selection import installed
from testkit.engines import ARE_ALL_NEEDED
from testkit.programs import MissingError
from testkit.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def engines() -> list[str]:
    """Return the installed engines, the fastest first.

    :raises MissingError: one is missing, and QUICTUNNEL_TEST_ENGINES=all demands all.
    """
    found = installed()
    missing = [exc for exc in found.values() if isinstance(exc, SettingsError)]
    if missing and ARE_ALL_NEEDED:
        raise MissingError(str(missing[0]))
    return [name for name, kind in found.items() if not isinstance(kind, SettingsError)]


@contextlib.contextmanager
def remote(server: str, scratch: Path, engine: str, *options: str) -> Iterator[Tunnel]:
    """Run a remote; yield the tunnel, whose origins the script starts.

    :param server: the origin server, as `quictunnel origin --origin` takes it.
    :param engine: the engine of both ends.
    :param options: more options for `quictunnel remote`.
    """
    with Tunnel(scratch, (engine, engine), server=server, outside="[::]:0") as tunnel:
        tunnel.start_remote(*options)
        tunnel.wait_for_remote()
        yield tunnel


@contextlib.contextmanager
def tunnel(
    server: str, scratch: Path, engine: str, *options: str, at_remote: Sequence[str] = ()
) -> Iterator[Tunnel]:
    """Expose an origin server.

    :param server: the origin server, as `quictunnel origin --origin` takes it.
    :param engine: the engine of both ends.
    :param options: more options for `quictunnel origin`.
    :param at_remote: more options for `quictunnel remote`.
    """
    with remote(server, scratch, engine, *at_remote) as up:
        up.start_origin(*options)
        up.wait_for_origin()
        yield up
