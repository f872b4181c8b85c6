"""Services with host names: shared listeners, told apart by the server name or by Host."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import time

import pytest
from sites import site

from testkit.connections import TcpPeer
from testkit.programs import PATIENCE
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True

TLS_ALERT_UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])


class Shared:
    """A tunnel whose remote has both shared listeners."""

    def __init__(self, tunnel) -> None:
        self.tunnel = tunnel
        self.tls = self.http = 0

    def remote(self, *options) -> Shared:
        listeners = ("--tls", f"{LOOPBACK}:0", "--http", f"{LOOPBACK}:0")
        remote = self.tunnel.start_remote(*listeners, *options)
        self.tunnel.wait_for_remote()
        line = remote.wait_for(
            rf"^Clients of host names connect with TLS to TCP {LOOPBACK}:(\d+), "
            rf"with HTTP to TCP {LOOPBACK}:(\d+)$"
        )
        self.tls, self.http = int(line[1]), int(line[2])
        return self

    def origin(self, services, *options) -> None:
        """Start an origin, and wait until each service is ready."""
        words = (
            word for where, site in services.items() for word in ("--origin", f"{where}={site}")
        )
        self.tunnel.start_origin(*words, *options)
        for where in services:
            self.tunnel.origin.wait_for(rf"^ready: {re.escape(where)}:")

    def http_client(self) -> TcpPeer:
        return TcpPeer(socket.create_connection((LOOPBACK, self.http), PATIENCE))

    def tls_client(self) -> TcpPeer:
        return TcpPeer(socket.create_connection((LOOPBACK, self.tls), PATIENCE))

    def curl(self, url_host: str, *options, https: bool = False) -> str:
        """Return curl's output for a page of a host, whose name leads to the shared listener."""
        port = self.tls if https else self.http
        scheme = "https" if https else "http"
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            str(PATIENCE),
        ]
        command += ["--resolve", f"{url_host}:{port}:{LOOPBACK}", f"{scheme}://{url_host}:{port}/"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        return done.stdout or done.stderr


@pytest.fixture
def shared(tunnel):
    return Shared(tunnel)


@pytest.fixture
def run_site():
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(site(*arguments))


def request(host: str, *more: str) -> bytes:
    return "\r\n".join(["GET / HTTP/1.1", f"Host: {host}", *more, "", ""]).encode()


def test_curl_finds_two_sites_by_host(shared, run_site):
    shared.remote("--hosts", "*.example.com")
    names = ("www.example.com", "blog.example.com")
    shared.origin({name: run_site(name).address for name in names})
    for name in names:
        assert shared.curl(name) == f"{name} {name}:{shared.http}\n"
    shared.tunnel.remote.wait_for_log(r"client closed .*service=blog.example.com ")


def test_curl_finds_two_sites_by_server_name(shared, run_site, tmp_path):
    shared.remote("--hosts", "*.example.com")
    names = ("www.example.com", "blog.example.com")
    shared.origin({name: run_site(name, tmp_path).address for name in names})
    for name in names:
        trusted = ("--cacert", str(tmp_path / f"{name}.pem"))
        assert shared.curl(name, *trusted, https=True) == f"{name} {name}:{shared.tls}\n"
