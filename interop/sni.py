"""nginx and HAProxy as TLS servers behind one shared listener, which routes by the server name.

TLS passes through the remote, so each client checks the certificate of the server that it asks for.
Both servers expect a PROXY protocol header in front of it. TLS 1.2 and 1.3, HTTP/1.1 and 2, clients
over IPv4 and IPv6, and each installed engine.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._nginx import nginx_settings
from interop._tunnel import engines, remote
from interop._waiting import listening, need_ipv6
from testkit.certificates import write_certificate
from testkit.programs import free_port
from testkit.tls_client import refused_handshake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NGINX = """
access_log off;
server {{
  listen 127.0.0.1:{port} ssl http2 proxy_protocol;
  ssl_certificate {certificate};
  ssl_certificate_key {certificate};
  ssl_protocols TLSv1.2 TLSv1.3;
  location / {{ return 200 "nginx $proxy_protocol_addr $host\\n"; }}
}}
"""

HAPROXY = """
global
  log stderr format raw local0
  maxconn 200
defaults
  timeout connect 10s
  timeout client 30s
  timeout server 30s
frontend web
  mode http
  bind 127.0.0.1:{port} accept-proxy ssl crt {certificate} alpn h2,http/1.1
  http-request return status 200 content-type text/plain lf-string "{answer}"
"""

ANSWER = "haproxy %[src] %[hdr(host),field(1,:)]"
"""The answer of HAProxy: the client's address, and the host without the port."""

FAMILIES = {"IPv4": ("127.0.0.1", "127.0.0.77"), "IPv6": ("::1", "::1")}
"""The addresses that the client connects to and from. On loopback only IPv4 has several."""

HTTP = {"1.1": "--http1.1", "2": "--http2"}
TLS = {"1.2": ["--tlsv1.2", "--tls-max", "1.2"], "1.3": ["--tlsv1.3"]}
"""The versions, and curl's options for them."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    program("curl")
    need_ipv6()
    scratch.chmod(0o755)  # nginx started by root serves as another user
    with _nginx(scratch) as nginx, _haproxy(scratch) as haproxy:
        servers = {"www.nginx.test": nginx, "www.haproxy.test": haproxy}
        for engine in engines():
            _behind_one_remote(facts, scratch, engine, servers)


def _behind_one_remote(facts: Facts, scratch: Path, engine: str, servers: dict[str, int]) -> None:
    """Check both servers behind one remote.

    :param servers: their names and ports.
    """
    tls = free_port()
    with remote("", scratch / engine, engine, "--tls", f"[::]:{tls}", "--hosts", "*.test") as up:
        words = (
            word
            for name, port in servers.items()
            for word in ("--origin", f"{name}=127.0.0.1:{port}")
        )
        up.start_origin("--proxy-protocol", "v2", *words)
        for name in servers:
            up.origin.wait_for(f"^ready: {name}:{tls} ")
        ways = itertools.product(servers, FAMILIES, HTTP, TLS)
        for name, family, http, version in ways:
            how = f"{engine}, {name} over {family}, TLS {version}, HTTP/{http}"
            to, source = FAMILIES[family]
            command = ["curl", "--silent", "--show-error", "--noproxy", "*"]
            command += ["--cacert", f"{scratch}/{name}.pem", "--interface", source]
            command += ["--resolve", f"{name}:{tls}:{f'[{to}]' if ':' in to else to}"]
            command += [HTTP[http], *TLS[version], "--write-out", " %{http_version}"]
            answer = output_of([*command, f"https://{name}:{tls}/"])
            expected = f"{name.split('.')[1]} {source} {name} {http}"
            facts.equal(f"{how}: the answer", " ".join(answer.split()), expected)
        facts.equal(
            f"{engine}, a name without a server: what OpenSSL says",
            refused_handshake("127.0.0.1", tls, "www.other.test"),
            "TLSV1_UNRECOGNIZED_NAME",
        )


@contextlib.contextmanager
def _nginx(scratch: Path) -> Iterator[int]:
    """Run nginx; yield its port."""
    port, file = free_port(), scratch / "nginx.conf"
    certificate = write_certificate("www.nginx.test", scratch)
    file.write_text(nginx_settings(scratch, NGINX.format(port=port, certificate=certificate)))
    command = [program("nginx"), "-p", str(scratch), "-c", str(file), "-e", "stderr"]
    with listening("nginx", command, scratch, port):
        yield port


@contextlib.contextmanager
def _haproxy(scratch: Path) -> Iterator[int]:
    """Run HAProxy; yield its port."""
    port, file = free_port(), scratch / "haproxy.cfg"
    certificate = write_certificate("www.haproxy.test", scratch)
    file.write_text(HAPROXY.format(port=port, certificate=certificate, answer=ANSWER))
    with listening("haproxy", [program("haproxy"), "-db", "-f", file], scratch, port):
        yield port


if __name__ == "__main__":
    run_script(script)
