"""Unix sockets of host names and the admin interface, as Caddy uses them, with the program."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from sites import site

from testkit.connections import TcpPeer
from testkit.programs import PATIENCE, POLL_INTERVAL, free_port

ONE_ENGINE = True

CLIENT = "203.0.113.9"
HEADER = f"PROXY TCP4 {CLIENT} 0.0.0.0 0 0\r\n".encode()
"""A header as Caddy sends it, apart from the version."""

UNAVAILABLE = b"the server of this site is not connected right now\n"


class Sockets:
    """A tunnel whose remote has a directory of sockets and an admin interface."""

    def __init__(self, tunnel, directory: Path) -> None:
        self.tunnel = tunnel
        self.directory = directory
        self.admin = f"127.0.0.1:{free_port()}"
        self._clients: list[TcpPeer] = []

    def remote(self, *options) -> None:
        words = ("--sockets", self.directory, "--admin", self.admin, "--hosts", "*", *options)
        remote = self.tunnel.start_remote(*words)
        self.tunnel.wait_for_remote()
        remote.wait_for(f"^Admin interface: http://{self.admin}/$")

    def origin(self, *names_and_sites, name: str = "box") -> None:
        """Start an origin, and wait until each service is ready."""
        words = ["--name", name]
        for host, server in names_and_sites:
            words += ["--origin", f"{host}={server.address}"]
        self.tunnel.start_origin(*words)
        for host, _ in names_and_sites:
            self.tunnel.origin.wait_for(rf"^ready: {re.escape(host)} at the remote")

    def names(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}

    def wait_for_names(self, *names: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.names() != set(names):
            assert time.monotonic() < deadline, self.names()
            time.sleep(POLL_INTERVAL)

    def client(self, folder: str) -> TcpPeer:
        """Connect to the socket of a name, as a proxy."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.directory / folder / "http"))
        client = TcpPeer(sock)
        self._clients.append(client)
        return client

    def get(self, folder: str, host: str) -> bytes:
        """Return the whole answer of a site to a proxy."""
        client = self.client(folder)
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        client.send(HEADER + request.encode())
        with client.sock, client.sock.makefile("rb") as answer:
            return answer.read()

    def asked(self, name: str) -> str:
        """Return the status of the answer to Caddy's question, by curl."""
        url = f"http://{self.admin}/caddy/ask?domain={name}"
        command = ["curl", "--silent", "--noproxy", "*", "--max-time", str(PATIENCE)]
        command += ["--output", "/dev/null", "--write-out", "%{http_code}", url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        for client in self._clients:
            client.sock.close()


@pytest.fixture
def sockets(tunnel):
    # The path of a Unix socket is short, and that of `tmp_path` is long.
    with tempfile.TemporaryDirectory(prefix="quictunnel-", dir="/tmp") as scratch:
        sockets = Sockets(tunnel, Path(scratch) / "sockets")
        yield sockets
        sockets.close()


@pytest.fixture
def run_site():
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(site(name))


def test_each_name_has_a_socket_that_leads_to_its_own_site(sockets, run_site):
    sockets.remote("--log-level", "info")
    sockets.origin(("www.test", run_site("one")), ("*.test", run_site("two")))
    sockets.origin(("blog.test", run_site("three")), ("*", run_site("four")), name="nas")
    assert sockets.names() == {"www.test", "+.test", "blog.test", "+"}
    assert sockets.get("www.test", "www.test").endswith(b"\r\n\r\none www.test\n")
    assert sockets.get("+.test", "other.test").endswith(b"\r\n\r\ntwo other.test\n")
    assert sockets.get("blog.test", "blog.test").endswith(b"\r\n\r\nthree blog.test\n")
    assert sockets.get("+", "www.example.com").endswith(b"\r\n\r\nfour www.example.com\n")
    sockets.tunnel.remote.wait_for_log(rf"client accepted .*client={CLIENT}:0", times=4)


def test_a_connection_without_a_header_is_ended(sockets, run_site):
    sockets.remote("--log-level", "info")
    sockets.origin(("www.test", run_site("one")))
    client = sockets.client("www.test")
    client.send(b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert client.sock.recv(1) == b""
    sockets.tunnel.remote.wait_for_log("client rejected .*no valid PROXY header, which every ")


def test_caddy_may_have_certificates_for_names_of_services_only(sockets, run_site):
    sockets.remote()
    assert sockets.asked("www.test") == "404"
    one = run_site("one")
    sockets.origin(("www.test", one), ("*.example.com", one), ("*", one))
    answers = {
        "www.test": "200",
        "WWW.test.": "200",
        "a.b.example.com": "200",
        "example.com": "404",
        "other.test": "404",
        "192.0.2.1": "400",
        "": "400",
    }
    assert {name: sockets.asked(name) for name in answers} == answers


def test_clients_of_a_name_without_its_origin_wait_and_get_a_response(sockets, run_site):
    sockets.remote("--client-wait", "1s")
    one = run_site("one")
    sockets.origin(("www.test", one))
    sockets.tunnel.origin.signal(signal.SIGTERM)
    assert sockets.tunnel.origin.wait() == 0
    answer = sockets.get("www.test", "www.test")
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert answer.endswith(UNAVAILABLE)
    sockets.wait_for_names()
    assert sockets.asked("www.test") == "200"
    sockets.origin(("www.test", one))
    sockets.wait_for_names("www.test")
    assert sockets.get("www.test", "www.test").endswith(b"one www.test\n")


def test_a_waiting_client_is_served_when_the_origin_comes(sockets, run_site):
    sockets.remote("--client-wait", "1m")
    one = run_site("one")
    sockets.origin(("www.test", one))
    sockets.tunnel.origin.signal(signal.SIGTERM)
    assert sockets.tunnel.origin.wait() == 0
    client = sockets.client("www.test")
    client.send(HEADER + b"GET / HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n")
    sockets.origin(("www.test", one))
    with client.sock.makefile("rb") as answer:
        assert answer.read().endswith(b"one www.test\n")


def test_the_sockets_end_with_the_remote_and_those_of_a_killed_one_are_replaced(sockets, run_site):
    one = run_site("one")
    sockets.remote()
    sockets.origin(("www.test", one), ("shop.test", one))
    sockets.tunnel.remote.kill()
    assert sockets.names() == {"www.test", "shop.test"}
    sockets.tunnel.origin.signal(signal.SIGTERM)
    assert sockets.tunnel.origin.wait() == 0
    sockets.remote()
    assert sockets.names() == set()
    sockets.origin(("www.test", one))
    assert sockets.get("www.test", "www.test").endswith(b"one www.test\n")
    sockets.tunnel.remote.signal(signal.SIGTERM)
    assert sockets.tunnel.remote.wait() == 0
    assert sockets.names() == set()


def test_two_remotes_cannot_share_a_directory(sockets, programs):
    sockets.remote()
    words = ("--listen", "127.0.0.1:0", "--outside", "127.0.0.1:0", "--state-dir", programs.scratch)
    second = programs.quictunnel("remote", *words, "--sockets", sockets.directory)
    assert second.wait() == 2
    assert f"--sockets '{sockets.directory}': another remote uses it" in second.stderr


def test_a_name_that_is_too_long_for_a_socket_is_refused_and_the_others_are_served(
    sockets, run_site
):
    sockets.remote()
    one = run_site("one")
    long = f"{'a' * 60}.{'b' * 60}.test"
    config = sockets.directory.with_name("origin.toml")
    config.write_text(f'[service.long]\nto = "{one.address}"\nhost = "{long}"\n')
    origin = sockets.tunnel.start_origin("--config", config, "--origin", f"www.test={one.address}")
    origin.wait_for(f"^refused: service long: host {long} is too long for a Unix socket")
    origin.wait_for("^ready: www.test at the remote")
    assert sockets.names() == {"www.test"}


def test_other_machines_cannot_reach_the_admin_interface_without_a_token(programs):
    words = ("--listen", "127.0.0.1:0", "--outside", "127.0.0.1:0", "--state-dir", programs.scratch)
    remote = programs.quictunnel("remote", *words, "--admin", "0.0.0.0:9002")
    assert remote.wait() == 2
    assert "--admin: '0.0.0.0:9002' is not a loopback address, so the admin" in remote.stderr


def test_the_printed_caddyfile_names_the_sockets_and_the_admin_interface(programs):
    words = ("--sockets", "/run/quictunnel", "--admin", "127.0.0.1:9002")
    caddy = programs.quictunnel("caddy", *words)
    assert caddy.wait() == 0
    assert "root /run/quictunnel\n" in caddy.stdout
    assert "ask http://127.0.0.1:9002/caddy/ask\n" in caddy.stdout
