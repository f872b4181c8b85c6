"""fail2ban: the filters in docs/how-to/limits.md find rejected clients and failed proofs."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, remote
from quictunnel.config.tokens import Token
from quictunnel.events import ProofFailed, RefusalKind
from quictunnel.observe.event_log import make_record
from quictunnel.observe.log_format import TextFormatter
from testkit.programs import PATIENCE, free_port

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "limits.md"


HOSTILE = 'x\\" peer=198.51.100.7:1 reason="the policy'
"""The name and the token of an origin that tries to have another address banned."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    command = program("fail2ban-regex")
    rules = re.findall(
        r"```ini\n# \S*filter\.d/(\S+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    filters = {}
    for name, content in rules:
        filters[name] = scratch / name
        filters[name].write_text(content)
    configuration = scratch / "remote.toml"
    configuration.write_text('[policy.default]\ndeny = ["127.0.0.2", "::1"]\n')
    options = ("--config", str(configuration), "--log-level", "info")
    with remote(f"127.0.0.1:{free_port()}", scratch, engines()[0], *options) as tunnel:
        for host in ("127.0.0.2", "::1", "127.0.0.1"):
            _connect(host, tunnel.outside_port)
        tunnel.start_origin(QUICTUNNEL_TOKEN=Token.new().reveal()).wait()
        log = tunnel.remote
        log.wait_for_log("client rejected", times=2)
        log.wait_for_log("client accepted")
        log.wait_for_log("proof failed")
        (scratch / "log").write_text(f"{log.stderr}{_hostile_line()}\n")

    for name, what, expected in (
        ("quictunnel.conf", "rejected clients", ["127.0.0.2", "::1"]),
        ("quictunnel-token.conf", "failed proofs", ["127.0.0.1", "192.0.2.9"]),
    ):
        out = output_of([command, "--out", "ip", scratch / "log", filters[name]])
        facts.equal(f"addresses of {what} that the filter finds", sorted(out.split()), expected)


def _hostile_line() -> str:
    """Return the line for an origin that no user can start, only a program of an attacker."""
    failure = ProofFailed(
        HOSTILE, HOSTILE, "192.0.2.9:1", "token not accepted", 1, 1, RefusalKind.BAD_TOKEN
    )
    return TextFormatter().format(make_record("quictunnel.remote", failure))


def _connect(host: str, port: int) -> None:
    """Connect from this address, and wait for the end of the connection if it is rejected."""
    target = "::1" if ":" in host else "127.0.0.1"
    with (
        contextlib.suppress(ConnectionError, TimeoutError),
        socket.create_connection((target, port), PATIENCE, source_address=(host, 0)) as sock,
    ):
        sock.settimeout(1.0)
        sock.recv(1)


if __name__ == "__main__":
    run_script(script)
