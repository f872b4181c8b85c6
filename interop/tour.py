"""The tutorial "Five services on one VPS", as written: each command on the host that it is for.

The VPS, the machine at home, a visitor and the office are network namespaces with the addresses of
the tutorial, so the ports are those of the page too.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import ssh
from interop._commands import WITHIN
from interop._facts import Facts, program, run_script
from interop._nginx import nginx_settings
from interop._postgres import DATABASE, USER, postgres
from interop._tunnel import engines
from interop._waiting import wait_until_listening
from testkit.certificates import write_certificate
from testkit.namespaces import NamespaceHost, what_is_missing
from testkit.programs import PYTHON, MissingError, Program, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = Path(__file__).parents[1] / "docs" / "tutorial" / "five-services.md"

VPS = "203.0.113.7"
ADDRESSES = {
    "home": "192.0.2.10",
    "visitor": "192.0.2.20",
    "friend": "192.0.2.30",
    "office": "198.51.100.40",
}
"""The addresses of the other hosts. Each has a line to the VPS."""

NAMES = ("vps", "www", "wiki", "nas", "shop", "friend")

PLACES = {"On the VPS": "vps", "At home": "home", "From anywhere": "visitor"}
PLACES |= {"From the office": "office", "The friend": "friend", "in `origin.toml`": "home"}
"""Phrases of the page, and the hosts on which the blocks after them belong."""

BLOCK = re.compile(r"```(toml|sh)\n(.*?)```", re.DOTALL)

SITES = {8000: "the website", 8001: "the wiki", 8002: "the moved wiki"}

NGINX = """
access_log off;
{sites}
server {{
  listen 127.0.0.1:8443 ssl;
  ssl_certificate {certificate};
  ssl_certificate_key {certificate};
  location / {{ return 200 "the NAS"; }}
}}
"""
SITE = 'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{text}"; }} }}'

EXPECTED = {
    "curl http://www.example.com/": "the website",
    "curl http://wiki.example.com/": "the wiki",
    "curl https://nas.example.com/": "the NAS",
    "curl http://shop.example.com/": "no site is configured for this host name",
    "psql -h vps.example.com -c 'SELECT 1'": "1",
}
"""Commands of the page, and what they print."""


@dataclass
class Place:
    """One host of the tutorial, with the folder in which its user works."""

    host: NamespaceHost
    folder: Path
    environment: dict[str, str]


@dataclass
class Tour:
    """The state after the commands of the page so far."""

    facts: Facts
    places: dict[str, Place]
    token: str = ""
    running: dict[str, Program] = field(default_factory=dict)

    def write(self, place: Place, text: str) -> None:
        """Write a configuration file, or change a line of one table in it."""
        first, _, rest = text.partition("\n")
        name, _, table = first.removeprefix("# ").partition(": ")
        file = place.folder / name
        if not table:
            file.write_text(text)
            return
        key = rest.split(" = ")[0]
        pattern = rf"(\[{re.escape(table)}\]\n(?:(?!\[).*\n)*?){key} = .*"
        changed, count = re.subn(pattern, lambda match: match[1] + rest.strip(), file.read_text())
        assert count == 1, f"{file} has no {key} in {table}"
        file.write_text(changed)

    def type(self, place: Place, line: str) -> None:
        """Run a command of the page, and check its result."""
        if re.match("(?:QUICTUNNEL_TOKEN=TOKEN )?quictunnel (remote|origin)", line):
            self._start(place, line)
            return
        done = self.run(place, line)
        if found := re.search(r"token: ([0-9a-f]{8}\.\S+)", done.stdout):
            self.token = found[1]
        if line in EXPECTED:
            words = done.stdout.split("\n")
            is_there = EXPECTED[line] in [word.strip() for word in words]
            self.facts.holds(line, done.stdout.strip()[:80], when=is_there and not done.returncode)
        else:
            shown = f"exit code {done.returncode} {done.stderr.strip()[-200:]}".strip()
            self.facts.holds(line, shown, when=not done.returncode)

    def stop(self) -> None:
        """Stop the programs that the page has started."""
        for started in self.running.values():
            started.stop()

    def run(self, place: Place, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        words = self._filled(line)
        return subprocess.run(
            place.host.command("sh", "-c", f'cd "$0" && {words}', place.folder),
            env=place.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )

    def _start(self, place: Place, line: str) -> None:
        command = place.host.command(
            "sh", "-c", f'cd "$0" && exec env {self._filled(line)}', place.folder
        )
        started = Program(
            f"program-{len(self.running)}", command, place.folder, **place.environment
        )
        self.running[line] = started
        ready = started.wait_until_ready()
        self.facts.holds(line, ready, when=True)

    def _filled(self, line: str) -> str:
        """Put the token and its ID in place of the page's placeholders."""
        return re.sub(
            r"\bID\b", self.token.partition(".")[0], re.sub(r"\bTOKEN\b", self.token, line)
        )


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    if missing := what_is_missing():
        raise MissingError(missing)
    for name in ("curl", "nginx", "ssh", "psql"):
        program(name)
    scratch.chmod(0o755)  # nginx started by root serves as another user
    with contextlib.ExitStack() as stack:
        places = _places(scratch, stack)
        _serve_at_home(places["home"], scratch, stack)
        _serve_at_the_friend(places["friend"], stack)
        tour = Tour(facts, places)
        stack.callback(tour.stop)
        _follow(tour, PAGE.read_text("utf-8"))


def _follow(tour: Tour, page: str) -> None:
    """Do what the page says, block by block."""
    place = tour.places["vps"]
    end = 0
    for block in BLOCK.finditer(page):
        before = page[end : block.start()]
        end = block.end()
        said = max(PLACES, key=before.rfind)
        if said in before:
            place = tour.places[PLACES[said]]
        if block[1] == "toml":
            tour.write(place, block[2])
            _after_change(tour, block[2])
            continue
        for line in block[2].splitlines():
            tour.type(place, line)
            _after_command(tour, line)


def _after_change(tour: Tour, text: str) -> None:
    """Check the change of a service while the origin runs."""
    if not text.startswith("# origin.toml: "):
        return
    origin = tour.running["quictunnel origin --config origin.toml"]
    origin.wait_for("^reloaded")
    there = tour.run(tour.places["visitor"], "curl http://wiki.example.com/").stdout
    tour.facts.equal("a new visitor of the wiki after the change", there, "the moved wiki")


def _after_command(tour: Tour, line: str) -> None:
    """Check what the page says about a command beyond its output."""
    visitor = tour.places["visitor"]
    if line == "quictunnel origin --config origin.toml":
        origin = tour.running[line]
        lines = [each for each in origin.stdout.splitlines() if each.startswith("ready")]
        tour.facts.equal("services that are ready", len(lines), 5)
    elif line.startswith("quictunnel token new"):
        # A friend would need longer than this to type the next command.
        tour.running["quictunnel remote --config remote.toml"].wait_for("^reloaded: .*tokens.toml")
    elif line.startswith("psql"):
        done = tour.run(visitor, line)
        tour.facts.holds("the same elsewhere fails", done.returncode, when=done.returncode != 0)
    elif "quictunnel origin --remote" in line:
        there = tour.run(visitor, "curl http://friend.example.com/").stdout
        tour.facts.equal("the friend's website", there, "the friend's website")
    elif line == "quictunnel token revoke ID":
        friend = next(each for name, each in tour.running.items() if "friend" in name)
        tour.facts.equal("the friend's origin: exit code", friend.wait(), 3)


def _places(scratch: Path, stack: contextlib.ExitStack) -> dict[str, Place]:
    """Make the hosts and the lines between them."""
    names: dict[str, Sequence[str]] = {f"{name}.example.com": [VPS] for name in NAMES}
    hosts: dict[str, NamespaceHost] = {}
    for name in ("vps", *ADDRESSES):
        hosts[name] = NamespaceHost(name, names, scratch)
        stack.callback(hosts[name].end)
    for number, (name, address) in enumerate(ADDRESSES.items()):
        device = f"line{number}"
        hosts["vps"].ip(
            f"link add {device} type veth peer name eth0 netns {hosts[name].pid}",
            f"address add {VPS}/32 dev {device}",
            f"link set {device} up",
            f"route add {address}/32 dev {device}",
        )
        hosts[name].ip(
            f"address add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {VPS}/32 dev eth0",
        )
    return {name: _place(name, host, scratch) for name, host in hosts.items()}


def _place(name: str, host: NamespaceHost, scratch: Path) -> Place:
    folder = scratch / name
    folder.mkdir()
    environment = clean_environment() | {
        "PATH": f"{scratch / 'bin'}:{PYTHON.parent}:{clean_environment()['PATH']}",
        "QUICTUNNEL_ENGINE": engines()[0],
        "XDG_STATE_HOME": str(folder / "state"),
        "CURL_CA_BUNDLE": str(scratch / "nas.example.com.pem"),
        "PGUSER": USER,
        "PGDATABASE": DATABASE,
        "PGCONNECT_TIMEOUT": "10",
    }
    return Place(host, folder, environment)


def _serve_at_home(home: Place, scratch: Path, stack: contextlib.ExitStack) -> None:
    """Run the five servers at home, and give `ssh` the keys of this test."""
    sites = "\n  ".join(SITE.format(port=port, text=text) for port, text in SITES.items())
    certificate = write_certificate("nas.example.com", scratch)
    settings = home.folder / "nginx.conf"
    settings.write_text(
        nginx_settings(home.folder, NGINX.format(sites=sites, certificate=certificate))
    )
    stack.enter_context(_serving("nginx", [program("nginx"), "-c", settings], home, 8443))
    keys = home.folder / "ssh"
    keys.mkdir()
    ssh.prepare(keys, "127.0.0.1", 22)
    stack.enter_context(_serving("sshd", ssh.server(keys), home, 22))
    stack.enter_context(postgres(scratch, home.host, 5432))
    tools = scratch / "bin"
    tools.mkdir()
    wrapper = tools / "ssh"
    options = " ".join(ssh.options(keys))
    wrapper.write_text(f'#!/bin/sh\nexec {program("ssh")} {options} "$@"\n')
    wrapper.chmod(0o755)


def _serve_at_the_friend(friend: Place, stack: contextlib.ExitStack) -> None:
    """Run the friend's website."""
    site = friend.folder / "site"
    site.mkdir()
    (site / "index.html").write_text("the friend's website")
    command = [PYTHON, "-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", site]
    stack.enter_context(_serving("site", command, friend, 8000))


@contextlib.contextmanager
def _serving(name: str, command: Sequence[object], place: Place, port: int) -> Iterator[None]:
    """Run a server on a host until the end."""
    with Program(name, place.host.command(*command), place.folder) as server:
        wait_until_listening(server, port, place.host)
        yield


if __name__ == "__main__":
    run_script(script)
