"""A tunnel for a script: the installed `quictunnel remote` and `quictunnel origin`, on loopback."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from bench.processes import running
from bench.ways import QUICTUNNEL, ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def tunnel(origin_server: str, scratch: Path, *options: str) -> Iterator[int]:
    """Expose an origin server; yield the outside port, which listens on IPv4 and IPv6.

    :param origin_server: as `quictunnel origin --origin` takes it.
    :param options: more options for `quictunnel origin`.
    """
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(f"interop.{secrets.token_urlsafe(32)}\n")
    common = ["--token-file", str(token)]
    remote = [str(QUICTUNNEL), "remote", "--listen", "127.0.0.1:0", "--outside", "[::]:0"]
    remote += ["--state-dir", str(scratch / "state"), *common]
    with running("remote", remote, scratch) as program:
        link, outside = ports(program.ready)
        origin = [str(QUICTUNNEL), "origin", "--remote", f"127.0.0.1:{link}"]
        origin += ["--origin", origin_server, *common, *options]
        with running("origin", origin, scratch):
            yield outside
