"""A tunnel for a script: the installed `quictunnel remote` and `quictunnel origin`, on loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from bench.processes import running
from bench.ways import QUICTUNNEL, ports
from interop._facts import MissingError
from quictunnel.errors import SettingsError
from quictunnel.link import installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def engines() -> list[str]:
    """Return the engines with which facts are told: those that are installed.

    :raises MissingError: one is not, and QUICTUNNEL_TEST_ENGINES=all says that it should be.
    """
    found = installed()
    missing = [exc for exc in found.values() if isinstance(exc, SettingsError)]
    if missing and os.environ.get("QUICTUNNEL_TEST_ENGINES") == "all":
        raise MissingError(str(missing[0]))
    return [name for name, kind in found.items() if not isinstance(kind, SettingsError)]


@contextlib.contextmanager
def tunnel(origin_server: str, scratch: Path, engine: str, *options: str) -> Iterator[int]:
    """Expose an origin server; yield the outside port, which listens on IPv4 and IPv6.

    :param origin_server: as `quictunnel origin --origin` takes it.
    :param engine: what both ends speak QUIC with.
    :param options: more options for `quictunnel origin`.
    """
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(f"interop.{secrets.token_urlsafe(32)}\n")
    common = ["--token-file", str(token), "--engine", engine]
    remote = [str(QUICTUNNEL), "remote", "--listen", "127.0.0.1:0", "--outside", "[::]:0"]
    remote += ["--state-dir", str(scratch / "state"), *common]
    with running("remote", remote, scratch) as program:
        link, outside = ports(program.ready)
        origin = [str(QUICTUNNEL), "origin", "--remote", f"127.0.0.1:{link}"]
        origin += ["--origin", origin_server, *common, *options]
        with running("origin", origin, scratch):
            yield outside
