"""The access log: goaccess and fail2ban read it, and logrotate rotates it, as the page says."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import socket
from pathlib import Path

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, remote
from interop._waiting import wait
from testkit.programs import PATIENCE
from testkit.tunnel import Tunnel

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "access-log.md"
ROTATION = ROOT / "contrib" / "logrotate" / "quictunnel"
LOG = "/var/log/quictunnel/access.log"

REJECTED = ("127.0.0.2", "::1")
"""Addresses that the policy does not allow."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    log = scratch / "logs" / "access.log"
    log.parent.mkdir()
    configuration = scratch / "remote.toml"
    configuration.write_text('[policy.default]\ndeny = ["127.0.0.2", "::1"]\n')
    options = ("--config", str(configuration), "--access-log", str(log))
    server = socket.create_server(("127.0.0.1", 0))
    target = f"127.0.0.1:{server.getsockname()[1]}"
    with server, remote(target, scratch, engines()[0], *options, *_COMBINED) as tunnel:
        tunnel.start_origin().wait_until_ready()
        for host in REJECTED:
            _connect(host, tunnel)
        _exchange(tunnel, server)
        wait(lambda: len(_lines(log)) == 3, "three lines in the access log")
        _check_readers(facts, scratch, log)
        _check_rotation(facts, scratch, log, tunnel, server)


_COMBINED = ("--access-log-format", "combined")


def _check_readers(facts: Facts, scratch: Path, log: Path) -> None:
    text = PAGE.read_text("utf-8")
    for number, block in enumerate(re.findall(r"```sh\n(goaccess (?:.|\n)*?)```", text)):
        out = scratch / f"statistics-{number}.json"
        words = shlex.split(block.replace("\\\n", " ").replace(LOG, str(log)))
        output_of([program("goaccess"), *words[1:], "--no-global-config", "-o", str(out)])
        general = json.loads(out.read_text())["general"]
        facts.equal("lines that goaccess reads", general["valid_requests"], 3)
        facts.equal("lines that goaccess does not understand", general["failed_requests"], 0)
    (rule,) = re.findall(r"```ini\n# \S*filter\.d/\S+\n(.*?)```", text, re.DOTALL)
    (scratch / "filter.conf").write_text(rule)
    files = (str(log), str(scratch / "filter.conf"))
    found = sorted(output_of([program("fail2ban-regex"), "--out", "ip", *files]).split())
    facts.equal("addresses that fail2ban's filter finds", found, sorted(REJECTED))


def _check_rotation(
    facts: Facts, scratch: Path, log: Path, tunnel: Tunnel, server: socket.socket
) -> None:
    signalled = f"kill -USR1 {tunnel.remote.process.pid}"
    rule = ROTATION.read_text("utf-8").replace("/var/log/quictunnel", str(log.parent))
    rule = re.sub(r"systemctl kill .*", signalled, rule)
    (scratch / "rotation").write_text(rule)
    (scratch / "rotation").chmod(0o644)
    files = (str(scratch / "rotated"), str(scratch / "rotation"))
    output_of([program("logrotate"), "--force", "--state", *files])
    wait(log.exists, "a new access log")
    _exchange(tunnel, server)
    wait(lambda: len(_lines(log)) == 1, "a line in the new access log")
    facts.equal("lines in the rotated log", len(_lines(log.with_suffix(".log.1"))), 3)
    facts.equal("lines in the new log", len(_lines(log)), 1)


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _exchange(tunnel: Tunnel, server: socket.socket) -> None:
    """Let a client and the origin server say something, and end in order."""
    with socket.create_connection(("127.0.0.1", tunnel.outside_port), PATIENCE) as client:
        client.sendall(b"question")
        connection, _ = server.accept()
        with connection:
            connection.recv(8)
            connection.sendall(b"answer")
        client.recv(6)


def _connect(host: str, tunnel: Tunnel) -> None:
    """Connect from this address, and wait for the reset."""
    target = "::1" if ":" in host else "127.0.0.1"
    address = (target, tunnel.outside_port)
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(address, PATIENCE, source_address=(host, 0)) as sock,
    ):
        sock.recv(1)


if __name__ == "__main__":
    run_script(script)
