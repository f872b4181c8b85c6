"""The ways to the origin server: direct, quictunnel, naive, and the peers that are installed.

Each is started afresh for each measure.
"""

from __future__ import annotations

import contextlib
import importlib.util
import random
import re
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers import PEERS, Place, standing_peer
from bench.processes import Program, ProgramError, running
from bench.sites import HERE, LOOPBACK, Site
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECT = "direct"
AIOQUIC = "quictunnel/aioquic"
QUINN = "quictunnel/quinn"
NAIVE = "naive"

WAYS = (DIRECT, AIOQUIC, QUINN, NAIVE, *PEERS)

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


def missing() -> dict[str, str]:
    """Return the ways that cannot be gone here, and what each lacks."""
    lacking = {
        name: f"{' and '.join(peer.programs)} not on PATH"
        for name, peer in PEERS.items()
        if not peer.is_installed
    }
    if importlib.util.find_spec("quictunnel_quinn") is None:
        lacking[QUINN] = "quictunnel_quinn is not installed; `make engine` builds it"
    return lacking


@contextlib.contextmanager
def standing(name: str, scratch: Path, site: Site = HERE) -> Iterator[Way]:
    """Start the origin server and, in front of it, the way of this name; stop all at the end.

    :param scratch: a folder of the run, made ready by `prepare`.
    :param site: where they are to stand; naive stands on loopback only.
    :raises ProgramError: something did not start.
    """
    with contextlib.ExitStack() as stack:
        serve = site.origin.inside(PYTHON, "-m", "bench.server", site.server_door)
        server = stack.enter_context(running("server", serve, scratch))
        port = int(server.ready.rpartition(":")[2])
        if name == DIRECT:
            yield Way(name, (site.server_address, port), server)
        elif name in PEERS:
            place = Place(free_port(), free_port(), port, scratch, site)
            programs = stack.enter_context(standing_peer(name, place))
            yield Way(name, (site.remote_address, place.outside), server, programs)
        else:
            outside, *ours = stack.enter_context(_standing_ours(name, scratch, port, site))
            yield Way(name, (site.remote_address, outside), server, tuple(ours))


@contextlib.contextmanager
def _standing_ours(
    name: str, scratch: Path, port: int, site: Site
) -> Iterator[tuple[int, Program, Program]]:
    """Start quictunnel, or the naive tunnel, which starts and speaks in the same way."""
    family, _, engine = name.partition("/")
    commands = _naive(scratch) if name == NAIVE else _quictunnel(scratch, site.remote_address)
    environment = {"QUICTUNNEL_ENGINE": engine} if engine else {}
    there = site.remote.inside(*commands[0])
    with running(f"{family}-remote", there, scratch, **environment) as remote:
        link, outside = ports(remote.ready)
        words = [word.format(link=link, server=port) for word in commands[1]]
        here = site.origin.inside(*words)
        with running(f"{family}-origin", here, scratch, **environment) as origin:
            yield outside, remote, origin


def ports(ready: str) -> tuple[int, int]:
    """Return the link's and the outside port that a remote's ready line names."""
    found = re.findall(r"(?:udp|tcp) (?:port |\S+:)(\d+)", ready, re.IGNORECASE)
    if len(found) != 2:
        raise ProgramError(f"the remote's ready line names no ports: {ready}")
    return int(found[0]), int(found[1])


def free_port() -> int:
    """Return a port that nobody has, neither TCP nor UDP, and that the kernel gives to nobody."""
    while True:
        port = random.randrange(20_000, 32_000)
        with (
            contextlib.suppress(OSError),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
        ):
            udp.bind((LOOPBACK, port))
            tcp.bind((LOOPBACK, port))
            return port


def prepare(scratch: Path) -> None:
    """Lay a token for quictunnel and a certificate for the others into the run's folder."""
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(f"bench.{secrets.token_urlsafe(32)}\n")
    key = make_key()
    (scratch / "bench.key").write_bytes(key_pem(key))
    (scratch / "bench.pem").write_bytes(certificate_pem(make_self_signed(["localhost"], key)))


def _quictunnel(scratch: Path, address: str) -> tuple[list[str], list[str]]:
    common = ["--token-file", str(scratch / "token")]
    remote = ["remote", "--listen", f"{address}:0", "--outside", f"{address}:0"]
    origin = ["origin", "--remote", address + ":{link}", "--origin", LOOPBACK + ":{server}"]
    return (
        [str(QUICTUNNEL), *remote, "--state-dir", str(scratch / "state"), *common],
        [str(QUICTUNNEL), *origin, *common],
    )


def _naive(scratch: Path) -> tuple[list[str], list[str]]:
    program = [str(PYTHON), "-m", "bench.naive"]
    certificate = str(scratch / "bench.pem")
    return (
        [*program, "remote", certificate, str(scratch / "bench.key")],
        [*program, "origin", certificate, "{link}", "{server}"],
    )
