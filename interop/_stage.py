"""All that `caddy.py` needs to stand before it can tell anything: site, tunnels and Caddy."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testkit.programs import running
from interop._caddy import caddy, example
from interop._network import network
from interop._tunnel import origin, remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop._caddy import Caddy
    from interop._facts import Facts
    from interop._network import Network

PASSED_ON = ("--proxy-protocol", "v2")
"""What the origin is told: the client's address is for the site too."""


@dataclass(frozen=True)
class Stage:
    """What the facts of one engine are told with."""

    facts: Facts
    engine: str
    caddy: Caddy
    scratch: Path
    size: int
    """Bytes in a large body."""

    def equal(self, fact: str, seen: object, expected: object) -> None:
        """Tell a fact of this engine."""
        self.facts.equal(f"{self.engine}, {fact}", seen, expected)


@contextlib.contextmanager
def standing(
    facts: Facts, scratch: Path, engine: str, size: int
) -> Iterator[tuple[Stage, Network]]:
    """Start all: the site, a tunnel to it, Caddy before it; and a second way over a network."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(site(scratch))
        ways = []
        for name in ("plain", "moving"):
            folder = scratch / f"{engine}-{name}"
            folder.mkdir()
            here = stack.enter_context(remote(folder, engine, "--accept-proxy-protocol"))
            by = stack.enter_context(network(here.link, folder)) if name == "moving" else None
            stack.enter_context(origin(here, server, *PASSED_ON, by=by))
            ways.append((here.outside, by))
        (plain, _), (moved, moving) = ways
        sites = example("localhost", plain) + example("moving.localhost", moved)
        front = stack.enter_context(caddy(sites, scratch, "localhost", "moving.localhost"))
        assert moving is not None
        yield Stage(facts, engine, front, scratch, size), moving


@contextlib.contextmanager
def site(scratch: Path) -> Iterator[str]:
    with running("site", [sys.executable, "-m", "interop._site"], scratch) as program:
        yield f"127.0.0.1:{program.ready.split()[1]}"
