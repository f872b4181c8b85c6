"""A tunnel for a script: the installed `quictunnel remote` and `quictunnel origin`, on loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testkit.programs import Program, running
from bench.ways import QUICTUNNEL, ports
from interop._facts import MissingError
from interop._network import network
from quictunnel.errors import SettingsError
from quictunnel.quic import installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from interop._network import Network


@dataclass(frozen=True)
class Remote:
    """A remote that runs, and what it takes to start origins for it."""

    link: int
    """Its UDP port for origins."""
    outside: int
    """Its TCP port for clients, which listens on IPv4 and IPv6."""
    program: Program
    common: tuple[str, ...]
    """Options for both ends."""
    scratch: Path


@dataclass(frozen=True)
class Tunnel:
    """Both ends, and the network between them if it is one that can be changed."""

    outside: int
    """The remote's TCP port for clients, which listens on IPv4 and IPv6."""
    remote: Program
    origin: Program
    network: Network | None


def engines() -> list[str]:
    """Return the engines with which facts are told: those that are installed, the fastest first.

    :raises MissingError: one is not, and QUICTUNNEL_TEST_ENGINES=all says that it should be.
    """
    found = installed()
    missing = [exc for exc in found.values() if isinstance(exc, SettingsError)]
    if missing and os.environ.get("QUICTUNNEL_TEST_ENGINES") == "all":
        raise MissingError(str(missing[0]))
    return [name for name, kind in found.items() if not isinstance(kind, SettingsError)]


@contextlib.contextmanager
def remote(scratch: Path, engine: str, *options: str) -> Iterator[Remote]:
    """Run a remote on ports that are free.

    :param engine: what both ends speak QUIC with.
    :param options: more options for `quictunnel remote`.
    """
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(f"interop.{secrets.token_urlsafe(32)}\n")
    common = ("--token-file", str(token), "--engine", engine)
    command = [str(QUICTUNNEL), "remote", "--listen", "127.0.0.1:0", "--outside", "[::]:0"]
    command += ["--state-dir", str(scratch / "state"), *common, *options]
    with running("remote", command, scratch) as program:
        link, outside = ports(program.ready)
        yield Remote(link, outside, program, common, scratch)


@contextlib.contextmanager
def origin(
    remote: Remote, origin_server: str, *options: str, by: Network | None = None
) -> Iterator[Program]:
    """Run an origin for a remote.

    :param origin_server: as `quictunnel origin --origin` takes it.
    :param options: more options for `quictunnel origin`.
    :param by: the network by which it calls, instead of directly.
    """
    port = remote.link if by is None else by.port
    command = [str(QUICTUNNEL), "origin", "--remote", f"127.0.0.1:{port}"]
    command += ["--origin", origin_server, *remote.common, *options]
    with running("origin", command, remote.scratch) as program:
        yield program


@contextlib.contextmanager
def tunnel(
    origin_server: str,
    scratch: Path,
    engine: str,
    *options: str,
    at_remote: Sequence[str] = (),
    changing: bool = False,
) -> Iterator[Tunnel]:
    """Expose an origin server.

    :param origin_server: as `quictunnel origin --origin` takes it.
    :param engine: what both ends speak QUIC with.
    :param options: more options for `quictunnel origin`.
    :param at_remote: more options for `quictunnel remote`.
    :param changing: put a network between the two ends that can be changed.
    """
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(remote(scratch, engine, *at_remote))
        by = stack.enter_context(network(here.link, scratch)) if changing else None
        program = stack.enter_context(origin(here, origin_server, *options, by=by))
        yield Tunnel(here.outside, here.program, program, by)
