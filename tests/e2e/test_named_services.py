"""Services with host names: shared listeners, told apart by the server name or by Host."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time

import pytest
from sites import site

from testkit.connections import TcpPeer
from testkit.programs import PATIENCE
from testkit.tls_client import TlsClient
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True

UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
"""The fatal alert (RFC 6066, section 3)."""


class Shared:
    """A tunnel whose remote has both shared listeners."""

    def __init__(self, tunnel) -> None:
        self.tunnel = tunnel
        self.tls = self.http = 0
        self._clients: list[TcpPeer] = []

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
        return self._connect(self.http)

    def tls_client(self) -> TcpPeer:
        return self._connect(self.tls)

    def _connect(self, port: int) -> TcpPeer:
        client = TcpPeer(socket.create_connection((LOOPBACK, port), PATIENCE))
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.reset()

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


def ask(client: TcpPeer, host: str) -> bytes:
    """Return the body of the answer to a request for this host."""
    client.send(request(host))
    return read_body(client)


def read_body(client: TcpPeer) -> bytes:
    """Return the body of the next answer of a site."""
    with client.sock.makefile("rb") as answer:
        while answer.readline() != b"\r\n":
            pass
        return answer.readline()


@pytest.fixture
def shared(tunnel):
    shared = Shared(tunnel)
    yield shared
    shared.close()


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


def test_a_connection_stays_with_the_site_of_its_first_request(shared, run_site):
    shared.remote("--hosts", "*.example.com")
    www, blog = run_site("www"), run_site("blog")
    shared.origin({"www.example.com": www.address, "blog.example.com": blog.address})
    client = shared.http_client()
    assert ask(client, "www.example.com") == b"www www.example.com\n"
    assert ask(client, "blog.example.com") == b"www blog.example.com\n"
    assert (www.connections, blog.connections) == (1, 0)


def test_the_most_specific_name_wins(shared, run_site):
    shared.remote("--hosts", "*")
    names = ("www.example.com", "*.example.com", "*.org.example.com", "*")
    shared.origin({name: run_site(name).address for name in names})
    expected = {
        "WWW.example.com": "www.example.com",
        "a.example.com": "*.example.com",
        "a.b.example.com": "*.example.com",
        "a.org.example.com": "*.org.example.com",
        "example.com": "*",
        "other.test": "*",
    }
    found = {host: shared.curl(host).partition(" ")[0] for host in expected}
    assert found == expected
    by_address = shared.curl("x", "--header", "Host: 127.0.0.1")
    assert by_address == "* 127.0.0.1\n"


def test_a_big_hello_in_two_segments_is_forwarded_as_it_is(shared, run_site, tmp_path):
    shared.remote("--hosts", "*")
    shared.origin({"www.example.com": run_site("www.example.com", tmp_path).address})
    client = shared.tls_client()
    tls = TlsClient("www.example.com", tmp_path / "www.example.com.pem", extra=4000)
    hello = tls.hello()
    assert len(hello) > 4000
    client.send(hello[:1500])
    time.sleep(0.2)
    client.send(hello[1500:])
    answer = tls.exchange(client, request("www.example.com", "Connection: close"))
    assert answer.endswith(b"www.example.com www.example.com\n")


def test_clients_without_a_server_name_get_the_fallback(shared, run_site, tmp_path):
    shared.remote("--hosts", "*")
    names = {"www.example.com": run_site("www.example.com", tmp_path).address}
    names["*"] = run_site("fallback.test", tmp_path).address
    shared.origin(names)
    client, tls = shared.tls_client(), TlsClient(None, tmp_path / "fallback.test.pem")
    client.send(tls.hello())
    answer = tls.exchange(client, request("x", "Connection: close"))
    assert answer.endswith(b"fallback.test x\n")


def test_an_unknown_server_name_gets_an_alert(shared, run_site):
    shared.remote("--hosts", "*")
    shared.origin({"www.example.com": run_site("www").address})
    client = shared.tls_client()
    # Bytes behind the hello would turn a careless end into a reset, which destroys the alert.
    client.send(TlsClient("other.test").hello() + bytes(100_000))
    assert client.receive_all() == UNRECOGNIZED_NAME
    command = ["openssl", "s_client", "-servername", "other.test", "-connect"]
    done = subprocess.run(
        [*command, f"{LOOPBACK}:{shared.tls}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert "unrecognized name" in done.stderr
    shared.tunnel.remote.wait_for_log(
        r'client rejected .*reason="no service has the host name other.test"'
    )


def test_a_client_that_speaks_no_tls_is_reset(shared):
    shared.remote()
    client = shared.tls_client()
    client.send(request("www.example.com"))
    assert client.is_reset()


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        (
            request("other.test") + bytes(100_000),
            b"404 Not Found",
            b"no site is configured for this host",
        ),
        (request("x", "Host: y"), b"400 Bad Request", b"two Host fields"),
        (b"GET / HTTP/2.0\r\n", b"505 HTTP Version Not Supported", b"HTTP version"),
        (
            request("x", *(["X: " + "y" * 1000] * 20)),
            b"431 Request Header Fields Too Large",
            b"of more than 16384 bytes",
        ),
    ],
)
def test_a_request_that_leads_nowhere_gets_one_line(shared, run_site, sent, status, sentence):
    shared.remote("--hosts", "*")
    shared.origin({"www.example.com": run_site("www").address})
    client = shared.http_client()
    client.send(sent)
    head, _, body = client.receive_all().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close" in head
    assert sentence in body
    assert body.count(b"\n") == 1


def test_clients_wait_for_an_origin_that_restarts(shared, run_site):
    shared.remote("--hosts", "*")
    services = {"www.example.com": run_site("www").address}
    shared.origin(services)
    shared.tunnel.origin.stop()
    shared.tunnel.remote.wait_for_log("origin disconnected")
    client = shared.http_client()
    client.send(request("www.example.com"))
    shared.origin(services)
    assert read_body(client) == b"www www.example.com\n"


def test_clients_of_a_name_whose_origin_has_gone_are_told(shared, run_site):
    shared.remote("--hosts", "*", "--client-wait", "0.2")
    shared.origin({"www.example.com": run_site("www").address})
    shared.tunnel.origin.stop()
    shared.tunnel.remote.wait_for_log("origin disconnected")
    for _ in range(2):
        answer = shared.curl("www.example.com", "--include")
        assert answer.startswith("HTTP/1.1 503 Service Unavailable")
        assert answer.endswith("\nthe server of this site is not connected right now\n")
    client = shared.tls_client()
    client.send(TlsClient("www.example.com").hello())
    assert client.is_reset()


def test_two_origins_have_a_name_each(shared, run_site):
    shared.remote("--hosts", "*.example.com")
    www, blog = run_site("www"), run_site("blog")
    shared.origin({"www.example.com": www.address})
    shared.origin({"blog.example.com": blog.address}, "--name", "desktop")
    assert shared.curl("www.example.com").startswith("www ")
    assert shared.curl("blog.example.com").startswith("blog ")
    options = ("--origin", f"www.example.com={blog.address}")
    third = shared.tunnel.start_origin(*options, "--name", "third")
    assert third.wait() == 3
    assert "origin 'box' already serves host www.example.com" in third.stderr


def test_a_name_that_is_not_allowed_is_refused(shared, run_site):
    shared.remote("--hosts", "*.example.com")
    site = run_site("www").address
    words = ("--origin", f"www.example.com={site}", "--origin", f"www.example.org={site}")
    shared.tunnel.start_origin(*words)
    shared.tunnel.origin.wait_for(
        "^refused: service www.example.org: the remote does not let origins have host "
        "www.example.org; allow it there with --hosts www.example.org$"
    )
    shared.tunnel.origin.wait_for("^ready: www.example.com:")


def test_changed_rights_apply_while_names_are_used(shared, run_site, tmp_path):
    config = tmp_path / "remote.toml"

    def allow(*names: str, head: str = "") -> None:
        config.write_text(f"{head}hosts = {list(names)}\n")

    allow("www.example.com")
    shared.remote("--config", config)
    www, blog = run_site("www"), run_site("blog")
    services = {"www.example.com": www.address, "blog.example.com": blog.address}
    words = (word for where, site in services.items() for word in ("--origin", f"{where}={site}"))
    origin = shared.tunnel.start_origin(*words)
    origin.wait_for("^ready: www.example.com:")
    origin.wait_for("^refused: service blog.example.com:")
    assert shared.curl("www.example.com").startswith("www ")
    client = shared.http_client()
    assert ask(client, "www.example.com") == b"www www.example.com\n"

    allow("blog.example.com")
    origin.wait_for("^ready: blog.example.com:")
    origin.wait_for("^refused: service www.example.com: the remote does not let origins have host")
    assert shared.curl("blog.example.com").startswith("blog ")
    assert "no site is configured for this host name" in shared.curl("www.example.com")
    assert ask(client, "www.example.com") == b"www www.example.com\n"  # it may finish

    allow("blog.example.com", "www.example.com", head='outside = ":1"\n')
    shared.tunnel.remote.wait_for(rf"^reloaded: {config}$", times=2)
    origin.wait_for("^ready: www.example.com:", times=2)
