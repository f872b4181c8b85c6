"""The programs that `caddy.py` needs: the site, tunnels and Caddy."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interop._caddy import caddy, example
from interop._tunnel import remote, tunnel
from testkit.forwarder import ForwarderProgram
from testkit.programs import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop._caddy import Caddy
    from interop._facts import Facts
    from testkit.tunnel import Tunnel

REMOTE = ("--accept-proxy-protocol",)
"""Options of the remotes: Caddy sends the client's address."""

ORIGIN = ("--proxy-protocol", "v2")
"""Options of the origins: the site gets the client's address."""


@dataclass(frozen=True)
class Stage:
    """The objects that the checks of one engine use."""

    facts: Facts
    engine: str
    caddy: Caddy
    scratch: Path
    size: int
    """Bytes in a large body."""
    roaming: Tunnel
    """The tunnel behind `roaming.localhost`."""
    forwarder: ForwarderProgram
    """Stands between the ends of that tunnel."""

    def equal(self, fact: str, seen: object, expected: object) -> None:
        """Check a fact of this engine."""
        self.facts.equal(f"{self.engine}, {fact}", seen, expected)


@contextlib.contextmanager
def running_stage(facts: Facts, scratch: Path, engine: str, size: int) -> Iterator[Stage]:
    """Run the site, Caddy, a tunnel between them, and another tunnel over a forwarder."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(site(scratch))
        plain = stack.enter_context(
            tunnel(server, scratch / f"{engine}-plain", engine, *ORIGIN, at_remote=REMOTE)
        )
        roaming = stack.enter_context(
            remote(server, scratch / f"{engine}-roaming", engine, *REMOTE)
        )
        folder = scratch / f"{engine}-roaming"
        forwarder = stack.enter_context(ForwarderProgram(roaming.link_port, folder))
        roaming.start_origin("--remote", forwarder.address, *ORIGIN)
        roaming.wait_for_origin()
        sites = example("localhost", plain.outside_port)
        sites += example("roaming.localhost", roaming.outside_port)
        front = stack.enter_context(caddy(sites, scratch, "localhost", "roaming.localhost"))
        yield Stage(facts, engine, front, scratch, size, roaming, forwarder)


@contextlib.contextmanager
def site(scratch: Path) -> Iterator[str]:
    """Run the site; yield its address."""
    with running("site", [sys.executable, "-m", "interop._site"], scratch) as program:
        yield f"127.0.0.1:{program.ready.split()[1]}"
