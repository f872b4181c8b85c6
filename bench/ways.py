"""The ways to the origin server: direct, quictunnel, naive, and the peers that are installed.

Each way is started afresh for each measurement.
"""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.host_pair import HERE, HostPair
from bench.peers import PEERS, Place, running_peer
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from testkit.programs import PYTHON, Program, free_port, running
from testkit.tunnel import LOOPBACK, Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECT = "direct"
AIOQUIC = "quictunnel/aioquic"
QUINN = "quictunnel/quinn"
WEBSOCKET = "/websocket"
"""Ends the name of a way whose link travels in a WebSocket, without TLS on loopback."""
WEBSOCKET_TLS = "/websocket-tls"
"""The same with TLS on loopback as well."""
AIOQUIC_WEBSOCKET, QUINN_WEBSOCKET = AIOQUIC + WEBSOCKET, QUINN + WEBSOCKET
AIOQUIC_WEBSOCKET_TLS, QUINN_WEBSOCKET_TLS = AIOQUIC + WEBSOCKET_TLS, QUINN + WEBSOCKET_TLS
NAIVE = "naive"

WAYS = (
    DIRECT,
    AIOQUIC,
    QUINN,
    AIOQUIC_WEBSOCKET,
    QUINN_WEBSOCKET,
    AIOQUIC_WEBSOCKET_TLS,
    QUINN_WEBSOCKET_TLS,
    NAIVE,
    *PEERS,
)

ANY_ADDRESS = "0.0.0.0"
"""Where a remote's WebSocket has TLS, and can be reached by loopback. At 127.0.0.1 it has none."""


@dataclass(frozen=True)
class RunningWay:
    """A way that is up: where clients connect, and the programs whose cost counts."""

    name: str
    address: tuple[str, int]
    server: Program
    tunnel: tuple[Program, ...] = ()
    """The remote and the origin, in this order. Empty for the direct way."""


def missing() -> dict[str, str]:
    """Return the ways that are not available here, and what each needs."""
    lacking = {
        name: f"{' and '.join(peer.programs)} not on PATH"
        for name, peer in PEERS.items()
        if not peer.is_installed
    }
    if importlib.util.find_spec("quictunnel_quinn") is None:
        for name in (QUINN, QUINN_WEBSOCKET, QUINN_WEBSOCKET_TLS):
            lacking[name] = "quictunnel_quinn is not installed; `make engine` builds it"
    return lacking


@contextlib.contextmanager
def running_way(name: str, scratch: Path, site: HostPair = HERE) -> Iterator[RunningWay]:
    """Start the origin server and the way of this name in front of it; stop both at the end.

    :param scratch: a folder that `prepare` has filled.
    :param site: where they run. The naive tunnel runs on loopback only.
    :raises ProgramError: a program did not start.
    """
    with contextlib.ExitStack() as stack:
        serve = site.origin.command(PYTHON, "-m", "bench.server", site.server_listen)
        server = stack.enter_context(running("server", serve, scratch))
        port = int(server.ready.rpartition(":")[2])
        if name == DIRECT:
            yield RunningWay(name, (site.server_address, port), server)
        elif name == NAIVE:
            client_port, *naive = stack.enter_context(_running_naive(scratch, port))
            yield RunningWay(name, (LOOPBACK, client_port), server, tuple(naive))
        elif name in PEERS:
            place = Place(free_port(), free_port(), port, scratch, site)
            programs = stack.enter_context(running_peer(name, place))
            yield RunningWay(name, (site.remote_address, place.outside), server, programs)
        else:
            engine = name.split("/")[1]
            remote, origin = options(name, site.remote_address)
            tunnel = stack.enter_context(
                Tunnel(
                    scratch,
                    (engine, engine),
                    server=f"{LOOPBACK}:{port}",
                    listen=f"{site.remote_address}:{free_port()}",
                    outside=f"{site.remote_address}:0",
                    remote_name=site.remote_address,
                    remote_host=site.remote,
                    origin_host=site.origin,
                )
            ).up(remote=remote, origin=origin)
            address = (site.remote_address, tunnel.outside_port)
            yield RunningWay(name, address, server, (tunnel.remote, tunnel.origin))


def options(name: str, address: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return additional options of the remote and of the origin of a way.

    :param address: the remote's.
    """
    if not name.endswith((WEBSOCKET, WEBSOCKET_TLS)):
        return (), ()
    port = free_port()
    has_tls = address != LOOPBACK or name.endswith(WEBSOCKET_TLS)
    listen = ANY_ADDRESS if has_tls and address == LOOPBACK else address
    trust = ("--insecure-websocket",) if has_tls else ()
    url = f"{'wss' if has_tls else 'ws'}://{address}:{port}/quictunnel"
    return ("--websocket", f"{listen}:{port}"), ("--via", "websocket", "--websocket", url, *trust)


@contextlib.contextmanager
def _running_naive(scratch: Path, server: int) -> Iterator[tuple[int, Program, Program]]:
    """Start the naive tunnel; yield the port for clients, the remote and the origin."""
    naive = [PYTHON, "-m", "bench.naive"]
    certificate = scratch / "bench.pem"
    with running(
        "naive-remote", [*naive, "remote", certificate, scratch / "bench.key"], scratch
    ) as remote:
        link_port, client_port = remote.ready.split()[1:]
        command = [*naive, "origin", certificate, link_port, server]
        with running("naive-origin", command, scratch) as origin:
            yield int(client_port), remote, origin


def prepare(scratch: Path) -> None:
    """Write a certificate for localhost and its key into a folder."""
    key = make_key()
    (scratch / "bench.key").write_bytes(key_pem(key))
    (scratch / "bench.pem").write_bytes(certificate_pem(make_self_signed(["localhost"], key)))
