"""Reverse proxies in front of a remote's WebSocket: Caddy, HAProxy and nginx, each with TLS."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from interop._caddy import caddy
from interop._facts import program
from interop._nginx import nginx_settings
from interop._waiting import listening
from testkit.certificates import write_certificate
from testkit.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "localhost"
"""The host of their URLs, and the name in their certificates."""

CADDY = """
localhost {{
	reverse_proxy /quictunnel 127.0.0.1:{remote}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 10s
  timeout client 30s
  timeout server 30s
  timeout tunnel 90s
frontend web
  bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1
  http-request return status 403 unless {{ path /quictunnel }}
  option forwardfor
  default_backend remote
backend remote
  server remote 127.0.0.1:{remote}
"""

NGINX = """
access_log off;
server {{
  listen 127.0.0.1:{port} ssl http2;
  ssl_certificate {certificate};
  ssl_certificate_key {certificate};
  location = /quictunnel {{
    proxy_pass http://127.0.0.1:{remote};
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    proxy_set_header X-Forwarded-For $remote_addr;
  }}
}}
"""


@contextlib.contextmanager
def running_caddy(remote: int, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Run Caddy; yield the WebSocket's URL, and the certificate that has signed Caddy's own.

    :param remote: the port of the remote's WebSocket.
    """
    with caddy(CADDY.format(remote=remote), scratch, NAME) as front:
        yield _url(front.port), front.authority


@contextlib.contextmanager
def running_haproxy(remote: int, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Run HAProxy. See `running_caddy`."""
    port, certificate = free_port(), write_certificate(NAME, scratch)
    file = scratch / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, remote=remote, certificate=certificate))
    with listening("haproxy", [program("haproxy"), "-db", "-f", file], scratch, port):
        yield _url(port), certificate


@contextlib.contextmanager
def running_nginx(remote: int, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Run nginx. See `running_caddy`."""
    port, certificate = free_port(), write_certificate(NAME, scratch)
    config = scratch / "nginx.conf"
    settings = NGINX.format(port=port, remote=remote, certificate=certificate)
    config.write_text(nginx_settings(scratch, settings))
    command = [program("nginx"), "-p", str(scratch), "-c", str(config), "-e", "stderr"]
    with listening("nginx", command, scratch, port):
        yield _url(port), certificate


FRONTENDS = {"Caddy": running_caddy, "HAProxy": running_haproxy, "nginx": running_nginx}


def _url(port: int) -> str:
    return f"wss://{NAME}:{port}/quictunnel"
