"""fail2ban: the filter in docs/how-to/limits.md finds the addresses of rejected clients."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, remote
from testkit.programs import PATIENCE, free_port

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "limits.md"


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    command = program("fail2ban-regex")
    rules = re.search(r"```ini\n# \S*filter\.d\S*\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert rules is not None
    filter_file = scratch / "quictunnel.conf"
    filter_file.write_text(rules[1])
    configuration = scratch / "remote.toml"
    configuration.write_text('[policy.default]\ndeny = ["127.0.0.2", "::1"]\n')
    options = ("--config", str(configuration), "--log-level", "info")
    with remote(f"127.0.0.1:{free_port()}", scratch, engines()[0], *options) as tunnel:
        for host in ("127.0.0.2", "::1", "127.0.0.1"):
            _connect(host, tunnel.outside_port)
        log = tunnel.remote
        log.wait_for_log("client rejected", times=2)
        log.wait_for_log("client accepted")
        (scratch / "log").write_text(log.stderr)
    out = output_of([command, "--print-all-matched", scratch / "log", filter_file])
    found = re.search(r"Failregex: (\d+) total", out)
    facts.equal("rejected clients that the filter finds", found and found[1], "2")
    hosts = sorted(set(re.findall(r"peer=\[?([0-9a-f.:]+?)\]?:\d+ reason", out)))
    facts.equal("their addresses", hosts, ["127.0.0.2", "::1"])


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
