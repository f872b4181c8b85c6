"""The other Caddyfiles of docs/how-to/caddy.md: wildcard names, names on demand, and Caddy at home.

For each: a client is served, and the site gets the name and the client's address. The first
Caddyfile on the page is the one that `caddy.py` uses.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from interop import _clients as clients
from interop._caddy import DOCS, caddy, split
from interop._facts import Facts, run_script
from interop._site import KNOWN
from interop._tunnel import engines, tunnel
from testkit.programs import ProgramError, free_port, running

if TYPE_CHECKING:
    from pathlib import Path

    from interop._caddy import Caddy

BLOCK = re.compile(r"<!-- caddyfile: (.+?) -->\n```\n(.*?)```", re.DOTALL)

HERE = "example.localhost"
"""The replacement for example.com on this machine."""

CLIENT = "127.0.0.77"

NO_TLS = 35
"""curl's exit code for a failed handshake."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    blocks = dict(BLOCK.findall((DOCS / "caddy.md").read_text()))
    same = blocks["one name"] in (DOCS / "Caddyfile").read_text()
    facts.equal("the first Caddyfile on the page is the one to copy", same, True)
    with running("site", [sys.executable, "-m", "interop._site"], scratch) as site:
        server = f"127.0.0.1:{site.ready.split()[1]}"
        passed_on = ("--proxy-protocol", "v2")
        taken = ("--accept-proxy-protocol",)
        with tunnel(server, scratch, engines()[0], *passed_on, at_remote=taken) as standing:
            _wildcard(facts, scratch, blocks["wildcard"], standing.outside_port)
            _on_demand(facts, scratch, blocks["on demand"], standing.outside_port)
    _at_home(facts, scratch, blocks["at home"])


def _wildcard(facts: Facts, scratch: Path, block: str, outside: int) -> None:
    # Its own CA needs no DNS challenge, so the DNS module is not needed.
    sites = _replace(
        block, {r"\ttls \{\n.*?\n\t\}\n": "", "127.0.0.1:9000": f"127.0.0.1:{outside}"}
    )
    with caddy(sites, _folder(scratch, "wildcard"), HERE, f"a.{HERE}") as front:
        for name in (HERE, f"a.{HERE}", f"b.{HERE}"):
            _is_served(facts, front, f"wildcard, {name}", name)
        refused = clients.curl_fails(front, "/who", name=f"a.b.{HERE}")
        facts.equal("wildcard, a name two levels below: curl's exit code", refused, NO_TLS)


def _on_demand(facts: Facts, scratch: Path, block: str, outside: int) -> None:
    asked = free_port()
    there = {"127.0.0.1:9000": f"127.0.0.1:{outside}", "127.0.0.1:9080": f"127.0.0.1:{asked}"}
    options, sites = split(_replace(block, there))
    with caddy(sites, _folder(scratch, "demand"), options=options) as front:
        _is_served(facts, front, f"on demand, {KNOWN}", KNOWN)
        refused = clients.curl_fails(front, "/who", name=f"unknown.{HERE}")
        facts.equal("on demand, a name that the site denies: curl's exit code", refused, NO_TLS)


def _at_home(facts: Facts, scratch: Path, block: str) -> None:
    """Use Caddy as the origin server, and check the client's address there."""
    answer = {r"reverse_proxy localhost:8000": 'respond "{remote_host}"'}
    options, sites = split(_replace(block, answer))
    name = f"www.{HERE}"
    with (
        caddy(sites, _folder(scratch, "home"), name, options=options) as behind,
        tunnel(f"127.0.0.1:{behind.port}", scratch, engines()[0], "--proxy-protocol", "v2") as up,
    ):
        got = clients.curl(behind, "/", "--interface", CLIENT, name=name, port=up.outside_port)
        facts.equal("Caddy at home: status and HTTP", (got.status, got.version), ("200", "2"))
        facts.equal("Caddy at home: the client", got.body, CLIENT)


def _folder(scratch: Path, name: str) -> Path:
    """Make a folder, so that the certificates of another Caddyfile are not used."""
    folder = scratch / name
    folder.mkdir()
    return folder


def _is_served(facts: Facts, front: Caddy, what: str, name: str) -> None:
    got = clients.curl(front, "/who", "--interface", CLIENT, name=name)
    facts.equal(f"{what}: status", got.status, "200")
    seen = got.json()
    facts.equal(f"{what}: the name at the site", seen["host"], f"{name}:{front.port}")
    facts.equal(f"{what}: the client", seen["client"], CLIENT)


def _replace(block: str, changes: dict[str, str]) -> str:
    """Replace names and ports of a Caddyfile by those of this machine.

    :param changes: what stands for each pattern.
    :raises ProgramError: the Caddyfile lacks one of them.
    """
    for pattern, here in changes.items():
        literal = here.replace("\\", r"\\")  # no group references
        block, count = re.subn(pattern, literal, block, flags=re.DOTALL)
        if not count:
            raise ProgramError(f"a Caddyfile in docs/how-to/caddy.md should say {pattern!r}")
    return block.replace("example.com", HERE)


if __name__ == "__main__":
    run_script(script)
