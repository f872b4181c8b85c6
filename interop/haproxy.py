"""HAProxy as the origin server, and in front of the remote: each end gets the client's address.

As the origin server (`bind … accept-proxy`) with PROXY protocol v1 and v2. In front of the remote
with `send-proxy` (v1) and `send-proxy-v2`, with health checks, and with a checksum and an id of its
own in the header. Each for clients over IPv4 and IPv6, and with each installed engine.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import re
from typing import TYPE_CHECKING

from interop._facts import Facts, program, run_script
from interop._tunnel import engines, tunnel
from interop._waiting import WITHIN, listening, need_ipv6, wait
from testkit.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.programs import Program

DEFAULTS = """
global
  log stderr format raw local0
  maxconn 200
defaults
  timeout connect 10s
  timeout client 30s
  timeout server 30s
"""

ORIGIN_SERVER = """
frontend web
  mode http
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "{answer}"
"""

ANSWER = "%[src] %[src_port] %[dst] %[dst_port]"
"""The answer of HAProxy as the origin server: the client's address and the outside address."""

BEFORE = """
listen front
  mode tcp
  log global
  option log-health-checks
  bind 127.0.0.1:{front}
  bind ::1:{front}
  unique-id-format %{{+X}}o%ci%cp%ts%rt
  default-server check check-send-proxy inter 100ms rise 2 fall 1
  server remote 127.0.0.1:{outside} {sends}
"""

SENDS = {
    "v2": "send-proxy-v2",
    "v2 with checksum and id": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    "v1": "send-proxy",
}
"""The PROXY protocol of HAProxy in front of the remote, and the option for it."""

CHECKED = re.compile(r"Health check for server \S+ (succeeded|failed).*")
"""The log line of HAProxy about a health check."""

FAMILIES = {"IPv4": ("127.0.0.1", "127.0.0.77"), "IPv6": ("::1", "::1")}
"""The addresses that the client connects to and from. On loopback only IPv4 has several."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    program("haproxy")
    need_ipv6()
    port = free_port()
    with _haproxy("server", ORIGIN_SERVER.format(port=port, answer=ANSWER), scratch, port):
        _as_origin_server(facts, scratch, f"127.0.0.1:{port}")
        _in_front(facts, scratch, f"127.0.0.1:{port}")


def _as_origin_server(facts: Facts, scratch: Path, address: str) -> None:
    for engine, version in itertools.product(engines(), ("v2", "v1")):
        with tunnel(address, scratch, engine, "--proxy-protocol", version) as standing:
            for family in FAMILIES:
                how = f"as origin server, {version}, with {engine}, a client over {family}"
                _one_client(facts, standing.outside_port, family, how)


def _in_front(facts: Facts, scratch: Path, address: str) -> None:
    for engine, (version, sends) in itertools.product(engines(), SENDS.items()):
        trusting = ("--accept-proxy-protocol",)
        options = ("--proxy-protocol", "v2")
        with tunnel(address, scratch, engine, *options, at_remote=trusting) as standing:
            front = free_port()
            config = BEFORE.format(front=front, outside=standing.outside_port, sends=sends)
            with _haproxy("front", config, scratch, front) as before:
                for family in FAMILIES:
                    how = f"in front, {version}, with {engine}, a client over {family}"
                    _one_client(facts, front, family, how)
                _its_checks(facts, before, f"in front, {version}, with {engine}")


def _one_client(facts: Facts, outside: int, family: str, how: str) -> None:
    """Check both addresses that HAProxy as the origin server gets."""
    to, source = FAMILIES[family]
    connection = http.client.HTTPConnection(to, outside, timeout=WITHIN, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.connect()
        port = connection.sock.getsockname()[1]
        connection.request("GET", "/")
        body = connection.getresponse().read().decode().strip()
    facts.equal(f"{how}: both its addresses", body, f"{source} {port} {to} {outside}")


def _its_checks(facts: Facts, before: Program, how: str) -> None:
    """Check that HAProxy's health checks of the remote succeed."""

    def outcomes() -> list[str]:
        return [found[1] for found in CHECKED.finditer(before.log.read_text(errors="replace"))]

    facts.equal(f"{how}: its health check", wait(outcomes, "a health check")[-1], "succeeded")


@contextlib.contextmanager
def _haproxy(name: str, config: str, scratch: Path, port: int) -> Iterator[Program]:
    file = scratch / f"{name}.cfg"
    file.write_text(DEFAULTS + config)
    with listening(name, [program("haproxy"), "-db", "-f", file], scratch, port) as running:
        yield running


if __name__ == "__main__":
    run_script(script)
