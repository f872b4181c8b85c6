"""nginx as the origin server, with `listen … proxy_protocol`: does it learn who the client is?

For PROXY protocol v2 and v1, over TCP and a Unix socket, for clients over IPv4 and IPv6, with each
engine that is installed: the client's address and port as nginx has them in its access log are
those of the client's socket.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

from bench.processes import ProgramError
from interop._facts import Facts, MissingError, program, tell
from interop._tunnel import engines, tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  log_format facts escape=json '{{"path": "$request_uri", "client": "$proxy_protocol_addr",'
    ' "port": "$proxy_protocol_port", "server_port": "$proxy_protocol_server_port"}}';
  access_log {folder}/access.log facts;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} proxy_protocol;
    listen unix:{folder}/nginx.sock proxy_protocol;
    location / {{ return 200 "hello $proxy_protocol_addr\\n"; }}
  }}
}}
"""

WITHIN = 10.0
"""Seconds for nginx to listen, or to write a line into its log."""

LOOK_AGAIN = 0.02
"""Seconds between two looks: nginx tells neither by itself."""

FAMILIES = {"IPv4": ("127.0.0.1", "127.0.0.77"), "IPv6": ("::1", "::1")}
"""Where the client connects to, and from: on loopback only IPv4 has many addresses."""


def script(facts: Facts, scratch: Path) -> None:
    """Tell the facts."""
    nginx = program("nginx")
    if not _has_ipv6():
        raise MissingError("IPv6 is off on this machine")
    port = _free_port()
    with _running(nginx, scratch, port):
        origin_servers = {"TCP": f"127.0.0.1:{port}", "a Unix socket": f"unix:{scratch}/nginx.sock"}
        ways = itertools.product(engines(), origin_servers.items(), ("v2", "v1"))
        for engine, (place, address), version in ways:
            how = f"{version} over {place}, with {engine}"
            with tunnel(address, scratch, engine, "--proxy-protocol", version) as outside:
                for family in FAMILIES:
                    _one_client(facts, scratch, outside, family, how)


def _one_client(facts: Facts, scratch: Path, outside: int, family: str, how: str) -> None:
    to, source = FAMILIES[family]
    path = f"/{family}-{how}".replace(" ", "-").replace(",", "")
    connection = http.client.HTTPConnection(to, outside, WITHIN, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.connect()
        port = connection.sock.getsockname()[1]
        connection.request("GET", path)
        body = connection.getresponse().read().decode().strip()
    who = f"{how}, a client over {family}"
    facts.equal(f"{who}: what nginx answers it", body, f"hello {source}")
    line = _wait(lambda: _logged(scratch / "access.log", path), "a line in its access log")
    facts.equal(f"{who}: its address in nginx's log", line["client"], source)
    facts.equal(f"{who}: its port in nginx's log", line["port"], str(port))
    facts.equal(f"{who}: the outside port in nginx's log", line["server_port"], str(outside))


@contextlib.contextmanager
def _running(nginx: str, scratch: Path, port: int) -> Iterator[None]:
    config = scratch / "nginx.conf"
    config.write_text(CONFIG.format(folder=scratch, port=port))
    log = scratch / "nginx.log"
    scratch.chmod(0o755)  # nginx started by root serves as another user
    with log.open("wb") as errors:
        command = [nginx, "-p", str(scratch), "-c", str(config), "-e", "stderr"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors)

    def listens() -> bool:
        if process.poll() is not None:
            raise ProgramError(f"nginx ended at once: {log.read_text(errors='replace')}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        _wait(listens, "its port")
        yield
    finally:
        process.terminate()
        process.wait()


def _wait(look: Callable[[], T], what: str) -> T:
    deadline = time.monotonic() + WITHIN
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ProgramError(f"nginx: waited {WITHIN:.0f} s for {what}")
        time.sleep(LOOK_AGAIN)
    return found


def _logged(log: Path, path: str) -> dict[str, str] | None:
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return next((line for line in lines if line["path"] == path), None)


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def _free_port() -> int:
    # nginx takes no port 0; the one found here is free a moment later as well.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    tell(script)
