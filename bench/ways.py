"""The ways to the origin server: direct, quictunnel, naive. Started afresh for each measure."""

from __future__ import annotations

import contextlib
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import Program, ProgramError, running
from quictunnel.config.selfsigned import certificate_pem, key_pem, make_key, make_self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS = ("direct", "quictunnel", "naive")

PYTHON = Path(sys.executable)
QUICTUNNEL = PYTHON.parent / "quictunnel"
"""The program as installed beside this Python."""


@dataclass(frozen=True)
class Way:
    """A way that stands: where a client connects, and the programs whose cost counts."""

    name: str
    address: tuple[str, int]
    server: Program
    tunnel: tuple[Program, ...] = ()
    """The remote and the origin, in this order; empty when direct."""


@contextlib.contextmanager
def standing(name: str, scratch: Path) -> Iterator[Way]:
    """Start the origin server and, in front of it, the way of this name; stop all at the end.

    :param scratch: a folder of the run, made ready by `prepare`.
    :raises ProgramError: something did not start.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running("server", [PYTHON, "-m", "bench.server"], scratch))
        port = server.ready.rpartition(":")[2]
        if name == "direct":
            yield Way(name, ("127.0.0.1", int(port)), server)
            return
        commands = _quictunnel if name == "quictunnel" else _naive
        remote_command, origin_command = commands(scratch)
        remote = stack.enter_context(running(f"{name}-remote", remote_command, scratch))
        link, outside = ports(remote.ready)
        here = [word.format(link=link, server=port) for word in origin_command]
        origin = stack.enter_context(running(f"{name}-origin", here, scratch))
        yield Way(name, ("127.0.0.1", outside), server, (remote, origin))


def ports(ready: str) -> tuple[int, int]:
    """Return the link's and the outside port that a remote's ready line names."""
    found = re.search(r"link udp \S+:(\d+), outside tcp \S+:(\d+)", ready)
    if not found:
        raise ProgramError(f"the remote's ready line names no ports: {ready}")
    return int(found[1]), int(found[2])


def prepare(scratch: Path) -> None:
    """Lay a token for quictunnel and a certificate for the naive tunnel into the run's folder."""
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(f"bench.{secrets.token_urlsafe(32)}\n")
    key = make_key()
    (scratch / "naive.key").write_bytes(key_pem(key))
    (scratch / "naive.pem").write_bytes(certificate_pem(make_self_signed(["localhost"], key)))


def _quictunnel(scratch: Path) -> tuple[list[str], list[str]]:
    common = ["--token-file", str(scratch / "token")]
    remote = ["remote", "--listen", "127.0.0.1:0", "--outside", "127.0.0.1:0"]
    origin = ["origin", "--remote", "127.0.0.1:{link}", "--origin", "127.0.0.1:{server}"]
    return (
        [str(QUICTUNNEL), *remote, "--state-dir", str(scratch / "state"), *common],
        [str(QUICTUNNEL), *origin, *common],
    )


def _naive(scratch: Path) -> tuple[list[str], list[str]]:
    program = [str(PYTHON), "-m", "bench.naive"]
    certificate = str(scratch / "naive.pem")
    return (
        [*program, "remote", certificate, str(scratch / "naive.key")],
        [*program, "origin", certificate, "{link}", "{server}"],
    )
