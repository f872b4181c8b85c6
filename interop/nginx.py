"""nginx as the origin server, with `listen … proxy_protocol`: it gets the client's address.

With PROXY protocol v1 and v2, over TCP and a Unix socket, for clients over IPv4 and IPv6, and with
each installed engine. The address and port in nginx's access log are those of the client's socket.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
from typing import TYPE_CHECKING

from interop._facts import Facts, program, run_script
from interop._nginx import nginx_settings
from interop._tunnel import engines, tunnel
from interop._waiting import WITHIN, listening, need_ipv6, wait
from testkit.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
log_format facts escape=json '{{"path": "$request_uri", "client": "$proxy_protocol_addr",'
  ' "port": "$proxy_protocol_port", "server_port": "$proxy_protocol_server_port"}}';
access_log {folder}/access.log facts;
server {{
  listen 127.0.0.1:{port} proxy_protocol;
  listen unix:{folder}/nginx.sock proxy_protocol;
  location / {{ return 200 "hello $proxy_protocol_addr\\n"; }}
}}
"""

FAMILIES = {"IPv4": ("127.0.0.1", "127.0.0.77"), "IPv6": ("::1", "::1")}
"""The addresses that the client connects to and from. On loopback only IPv4 has several."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    nginx = program("nginx")
    need_ipv6()
    port = free_port()
    with _running(nginx, scratch, port):
        origin_servers = {"TCP": f"127.0.0.1:{port}", "a Unix socket": f"unix:{scratch}/nginx.sock"}
        ways = itertools.product(engines(), origin_servers.items(), ("v2", "v1"))
        for engine, (place, address), version in ways:
            how = f"{version} over {place}, with {engine}"
            with tunnel(address, scratch, engine, "--proxy-protocol", version) as standing:
                for family in FAMILIES:
                    _one_client(facts, scratch, standing.outside_port, family, how)


def _one_client(facts: Facts, scratch: Path, outside: int, family: str, how: str) -> None:
    to, source = FAMILIES[family]
    path = f"/{family}-{how}".replace(" ", "-").replace(",", "")
    connection = http.client.HTTPConnection(to, outside, timeout=WITHIN, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.connect()
        port = connection.sock.getsockname()[1]
        connection.request("GET", path)
        body = connection.getresponse().read().decode().strip()
    who = f"{how}, a client over {family}"
    facts.equal(f"{who}: answer of nginx", body, f"hello {source}")
    line = wait(lambda: _logged(scratch / "access.log", path), "a line in its access log")
    facts.equal(f"{who}: its address in nginx's log", line["client"], source)
    facts.equal(f"{who}: its port in nginx's log", line["port"], str(port))
    facts.equal(f"{who}: the outside port in nginx's log", line["server_port"], str(outside))


@contextlib.contextmanager
def _running(nginx: str, scratch: Path, port: int) -> Iterator[None]:
    config = scratch / "nginx.conf"
    config.write_text(nginx_settings(scratch, CONFIG.format(folder=scratch, port=port)))
    scratch.chmod(0o755)  # nginx started by root serves as another user
    command = [nginx, "-p", str(scratch), "-c", str(config), "-e", "stderr"]
    with listening("nginx", command, scratch, port):
        yield


def _logged(log: Path, path: str) -> dict[str, str] | None:
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return next((line for line in lines if line["path"] == path), None)


if __name__ == "__main__":
    run_script(script)
