"""Caddy in front of host names: the Caddyfile of `quictunnel caddy`, five sites of two origins.

Each origin has exact names. The first one also has a wildcard, which covers a name of the second
one. Certificates come from Caddy's own CA on demand, after Caddy has asked the remote. With each
installed engine: over HTTP/1.1, 2 and 3, the right site answers and gets the client's address; so
it does for requests of several names on one connection, also when Chromium shares a connection; a
name without a service gets no certificate; without its origin a name has the status 503, and its
site answers again when the origin is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interop import _clients as clients
from interop import _h3
from interop._caddy import caddy, split
from interop._caddy import find as find_caddy
from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, remote
from interop._waiting import wait
from quictunnel.config.state import CERTIFICATE_FILE, KEY_FILE
from testkit.browser import browser
from testkit.browser import find as find_browser
from testkit.programs import QUICTUNNEL, ProgramError, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from interop._caddy import Caddy
    from testkit.browser import Tab
    from testkit.programs import Program
    from testkit.tunnel import Tunnel

DOMAIN = "example.localhost"

WWW, SHOP, BLOG, ANY, ONE = (f"{first}.{DOMAIN}" for first in ("www", "shop", "blog", "*.b", "1.b"))
"""The names of the services."""

BELOW = f"2.a.b.{DOMAIN}"
"""A name that only the wildcard covers."""

SERVED_BY = {WWW: WWW, SHOP: SHOP, BLOG: BLOG, ONE: ONE, BELOW: ANY}
"""The service of each name."""

UNKNOWN = "www.other.localhost"

ORIGINS = {"box": (WWW, SHOP, ANY), "nas": (BLOG, ONE)}
"""The services of each origin."""

CLIENT = "127.0.0.77"

NO_TLS = 35
"""curl's exit code for a failed handshake."""

ON_DEMAND = "\ttls internal {\n\t\ton_demand\n\t}\n"
"""The lines of the Caddyfile that are replaced by one certificate for all names."""


@dataclass(frozen=True)
class HostsStage:
    """The objects that the checks of one engine use."""

    facts: Facts
    engine: str
    scratch: Path
    sites: Mapping[str, str]
    """The address of each service's site."""
    admin: str
    """The address of the remote's admin interface."""
    print_caddyfile: tuple[str, ...]
    """The arguments of quictunnel that print the Caddyfile."""

    def equal(self, fact: str, seen: object, expected: object) -> None:
        """Check a fact of this engine."""
        self.facts.equal(f"{self.engine}, {fact}", seen, expected)

    def holds(self, fact: str, seen: object, *, when: bool) -> None:
        """Check a condition of this engine; print the observed value as well."""
        self.facts.holds(f"{self.engine}, {fact}", seen, when=when)

    def is_answered(self, fact: str, name: str, answer: Mapping[str, Any]) -> None:
        """Check that the site of a name has answered, and knows the client."""
        seen = self.site_of(answer), answer["client"]
        self.equal(f"{fact}, {name}: the site and the client", seen, (SERVED_BY[name], CLIENT))

    def site_of(self, answer: Mapping[str, Any]) -> str:
        """Return the service whose site has answered."""
        ports = {site.rpartition(":")[2]: name for name, site in self.sites.items()}
        return ports[str(answer["site"])]


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    find_browser()
    with contextlib.ExitStack() as stack:
        sites = {name: stack.enter_context(_site(scratch, name)) for name in SERVED_BY.values()}
        for engine in engines():
            folder = scratch / engine
            folder.mkdir()
            _script(facts, folder, engine, sites)


def _script(facts: Facts, folder: Path, engine: str, sites: Mapping[str, str]) -> None:
    sockets = folder / "sockets"
    admin = f"127.0.0.1:{free_port()}"
    places = ("--sockets", str(sockets), "--admin", admin)
    rights = ("--hosts", f"*.{DOMAIN}", "--client-wait", "1s")
    stage = HostsStage(facts, engine, folder, sites, admin, ("caddy", *places, "--internal"))
    with remote("unused:1", folder, engine, *places, *rights) as tunnel:
        started = {name: _start_origin(tunnel, name, sites) for name in ORIGINS}
        _sockets(stage, sockets)
        options, blocks = _caddyfile(stage)
        http_port = free_port()
        with caddy(blocks, folder, WWW, options=options, http_port=http_port) as front:
            _each_version(stage, front)
            _other_spellings(stage, front)
            _no_certificate(stage, front)
            _one_connection(stage, front)
            _redirect(stage, http_port)
            _origin_gone(stage, front, tunnel, started["nas"])
        _exact_names(stage)
        _shared_by_chromium(stage, options, blocks)
        tunnel.remote.end()
        stage.equal("sockets when the remote has ended", list(sockets.iterdir()), [])


@contextlib.contextmanager
def _site(scratch: Path, name: str) -> Iterator[str]:
    command = [sys.executable, "-m", "interop._site"]
    with running(f"site-{name}", command, scratch) as site:
        yield f"127.0.0.1:{site.ready.split()[1]}"


def _start_origin(tunnel: Tunnel, name: str, sites: Mapping[str, str]) -> Program:
    # Connections that Caddy keeps for later requests would prolong the end of an origin.
    options = ["--name", name, "--proxy-protocol", "v2", "--grace", "1s"]
    for host in ORIGINS[name]:
        options += ["--origin", f"{host}={sites[host]}"]
    origin = tunnel.start_origin(*options)
    tunnel.wait_for_origin()
    return origin


def _caddyfile(stage: HostsStage, *options: str) -> tuple[str, str]:
    """Return the global options and the sites that are printed, and check that Caddy accepts all.

    :param options: more options of `quictunnel caddy`.
    """
    text = output_of([QUICTUNNEL, *stage.print_caddyfile, *options])
    file = stage.scratch / "Caddyfile.printed"
    file.write_text(text)
    command = [find_caddy(), "validate", "--adapter", "caddyfile", "--config", str(file)]
    output_of(command, HOME=str(stage.scratch), XDG_DATA_HOME=str(stage.scratch / "data"))
    stage.equal("the printed Caddyfile: caddy validate accepts it", True, True)
    return split(text)


def _sockets(stage: HostsStage, sockets: Path) -> None:
    names = sorted(folder.name for folder in sockets.iterdir())
    stage.equal("the folders of the names", names, sorted([WWW, SHOP, BLOG, ONE, f"+.b.{DOMAIN}"]))
    modes = {stat.filemode((folder / "http").stat().st_mode) for folder in sockets.iterdir()}
    stage.equal("the modes of the sockets", modes, {"srw-rw----"})


def _each_version(stage: HostsStage, front: Caddy) -> None:
    for name in SERVED_BY:
        for version, option in (("1.1", "--http1.1"), ("2", "--http2")):
            got = clients.curl(front, "/who", option, "--interface", CLIENT, name=name)
            stage.equal(f"HTTP/{version}, {name}: spoken", got.version, version)
            stage.is_answered(f"HTTP/{version}", name, got.json())
        stage.is_answered("HTTP/3", name, asyncio.run(_by_http3(front, name))[0])


async def _by_http3(front: Caddy, *names: str) -> list[dict[str, Any]]:
    """Request all names on one connection, whose certificate is that of the first one."""
    answers = []
    port, authority = front.port, front.authority
    async with _h3.connected(port, authority, name=names[0], source=CLIENT) as client:
        for name in names:
            answer = await client.ask("/who", authority=f"{name}:{port}")
            answers.append(clients.read_json(answer.body))
    return answers


async def _status_by_http3(front: Caddy, authority: str) -> int:
    async with _h3.connected(front.port, front.authority, name=WWW) as client:
        return (await client.ask("/who", authority=authority)).status


def _other_spellings(stage: HostsStage, front: Caddy) -> None:
    for host in (WWW.upper(), f"{WWW}.", WWW, f"{WWW.title()}.:{front.port}"):
        header = ("--interface", CLIENT, "--header", f"Host: {host}")
        got = clients.curl(front, "/who", *header, name=WWW)
        stage.is_answered(f"Host: {host}", WWW, got.json())
    for host in (DOMAIN, f"+.b.{DOMAIN}", ".".join([*"abcdefghijk", DOMAIN]), UNKNOWN):
        got = clients.curl(front, "/who", "--header", f"Host: {host}", name=WWW)
        stage.equal(f"Host: {host}: status", got.status, "503")
    status = asyncio.run(_status_by_http3(front, f"../sockets/{WWW}"))
    stage.holds("a path in place of a name: status", status, when=status in (400, 503))


def _no_certificate(stage: HostsStage, front: Caddy) -> None:
    for name in (UNKNOWN, DOMAIN):
        refused = clients.curl_fails(front, "/who", name=name)
        stage.equal(f"no service, {name}: curl's exit code", refused, NO_TLS)
    for name, status in ((WWW, "200"), (BELOW, "200"), (UNKNOWN, "404"), ("192.0.2.1", "400")):
        url = f"http://{stage.admin}/caddy/ask?domain={name}"
        words = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
        asked = output_of([program("curl"), *words, url])
        stage.equal(f"the remote's answer for {name}", asked, status)


def _one_connection(stage: HostsStage, front: Caddy) -> None:
    """Request names of two origins in turn on one connection, several times."""
    names = [WWW, BLOG, SHOP, ONE, BELOW] * 3
    expected = [SERVED_BY[name] for name in names]
    answers = asyncio.run(_by_http3(front, *names))
    stage.equal("one HTTP/3 connection: the sites", list(map(stage.site_of, answers)), expected)
    for version, option in (("1.1", "--http1.1"), ("2", "--http2")):
        answers, connections = clients.curl_names(front, "/who", names, option, source=CLIENT)
        stage.equal(f"one HTTP/{version} connection: connections", connections, 1)
        sites = list(map(stage.site_of, answers))
        stage.equal(f"one HTTP/{version} connection: the sites", sites, expected)


def _redirect(stage: HostsStage, port: int) -> None:
    written = "%{http_code} %{redirect_url}"
    command = [program("curl"), "--silent", "--output", "/dev/null", "--write-out", written]
    command += ["--connect-to", f"::127.0.0.1:{port}", f"http://{WWW}/who"]
    stage.equal("plain HTTP is redirected", output_of(command), f"308 https://{WWW}/who")


def _origin_gone(stage: HostsStage, front: Caddy, tunnel: Tunnel, origin: Program) -> None:
    origin.end()
    status = wait(lambda: _unless(front, BLOG, "200"), "Caddy's answer without an origin")
    stage.equal("the second origin has ended: status", status, "503")
    status = clients.curl(front, "/who", name=WWW).status
    stage.equal("the second origin has ended: status of the first one", status, "200")
    wait(lambda: stage.site_of(clients.curl(front, "/who", name=ONE).json()) == ANY, "the wildcard")
    stage.equal("the second origin has ended: the wildcard's site answers", True, True)
    _start_origin(tunnel, "nas", stage.sites)
    for name in (BLOG, ONE):
        got = clients.curl(front, "/who", "--interface", CLIENT, name=name)
        stage.is_answered("the second origin is back", name, got.json())


def _unless(front: Caddy, name: str, unwanted: str) -> str | None:
    status = clients.curl(front, "/who", name=name).status
    return None if status == unwanted else status


def _exact_names(stage: HostsStage) -> None:
    """Let Caddy serve two names only."""
    named = ("--hosts", WWW, "--hosts", ONE, "--email", "me@example.com")
    options, blocks = _caddyfile(stage, *named)
    folder = stage.scratch / "exact"
    folder.mkdir()
    with caddy(blocks, folder, WWW, ONE, options=options) as front:
        for name in (WWW, ONE):
            got = clients.curl(front, "/who", "--interface", CLIENT, name=name)
            stage.is_answered("exact names", name, got.json())
        refused = clients.curl_fails(front, "/who", name=SHOP)
        stage.equal(f"exact names, another one, {SHOP}: curl's exit code", refused, NO_TLS)


def _shared_by_chromium(stage: HostsStage, options: str, blocks: str) -> None:
    """Let Chromium open two names whose certificate is the same, so that it shares a connection."""
    if ON_DEMAND not in blocks:
        raise ProgramError(f"the Caddyfile should say {ON_DEMAND!r}")
    folder = stage.scratch / "shared"
    named = [word for name in (WWW, BLOG) for word in ("--name", name)]
    output_of([QUICTUNNEL, "cert", "--out", folder, *named])
    certificate = folder / CERTIFICATE_FILE
    blocks = blocks.replace(ON_DEMAND, f"\ttls {certificate} {folder / KEY_FILE}\n")
    with caddy(blocks, folder, options=options) as front:
        for version in ("h2", "h3"):
            scratch = folder / version
            scratch.mkdir()
            hosts = [f"{name}:{front.port}" for name in (WWW, BLOG)]
            # By default a browser uses HTTP/3 only once a response has advertised it.
            quic = {"h2": "--disable-quic", "h3": f"--origin-to-force-quic-on={','.join(hosts)}"}
            with browser(scratch, quic[version], size=(400, 300), issuer=certificate) as tab:
                _open_both(stage, tab, hosts, version)


def _open_both(stage: HostsStage, tab: Tab, hosts: list[str], version: str) -> None:
    for host in hosts * 2:
        tab.open(f"https://{host}/who")
        answer = json.loads(tab.run("document.body.innerText"))
        name = host.partition(":")[0]
        stage.equal(f"Chromium, {version}, {name}: the site", stage.site_of(answer), name)
    seen = [
        event["params"]["response"]
        for event in tab.events
        if event.get("method") == "Network.responseReceived"
        and event["params"]["response"]["url"].endswith("/who")
    ]
    spoken = {response["protocol"] for response in seen}
    stage.equal(f"Chromium, {version}: spoken", spoken, {version})
    used = {response["connectionId"] for response in seen}
    stage.equal(f"Chromium, {version}: connections for both names", len(used), 1)


if __name__ == "__main__":
    run_script(script)
