"""A link over the remote's WebSocket, with the installed program."""

from __future__ import annotations

import signal
import socket
import ssl

import pytest
from configured_tunnel import exchange

from testkit.certificates import write_certificate
from testkit.programs import PATIENCE, free_port, logged
from testkit.tunnel import LOOPBACK

ESTABLISHED = "link established"


@pytest.fixture
def over_websocket(tunnel):
    """Starts a tunnel whose link only uses a WebSocket, with TLS or without; returns its port."""

    def start(host: str, *more: str, path: str = "/quictunnel") -> int:
        port = free_port()
        tunnel.start_remote("--websocket", f"{host}:{port}", *more)
        scheme = "ws" if host == LOOPBACK else "wss"
        url = f"{scheme}://{LOOPBACK}:{port}{path}"
        tls = () if host == LOOPBACK else ("--insecure-websocket",)
        tunnel.start_origin("--via", "websocket", "--websocket", url, *tls)
        tunnel.wait_for_remote()
        tunnel.wait_for_origin()
        return port

    return start


@pytest.mark.parametrize("host", [LOOPBACK, "[::]"], ids=["ws", "wss"])
def test_a_client_is_served_over_a_websocket(tunnel, over_websocket, host):
    over_websocket(host)
    tunnel.origin.wait_for_log(logged(ESTABLISHED, path="websocket"))
    exchange(*tunnel.pair())
    place = "an HTTP proxy in front of ws://" if host == LOOPBACK else "wss://HOST:"
    assert f"Origins whose network blocks UDP connect to {place}" in tunnel.remote.stdout


def test_megabytes_arrive_over_a_websocket(tunnel, over_websocket):
    over_websocket("[::]")
    client, server = tunnel.pair()
    data = bytes(range(256)) * 4096
    for _ in range(8):
        server.send(data)
        assert client.receive(len(data)) == data
    for _ in range(4):
        client.send(data)
        assert server.receive(len(data)) == data


def test_a_websocket_at_another_path(tunnel, over_websocket):
    port = over_websocket(LOOPBACK, "--websocket-path", "/tunnel", path="/tunnel")
    exchange(*tunnel.pair())
    with socket.create_connection((LOOPBACK, port), 10) as sock:
        sock.sendall(b"GET /quictunnel HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 404 ")


def status_of(port: int, forwarded_for: str) -> bytes:
    """Return the status of the answer to a client behind an HTTP proxy of this machine."""
    head = (
        "GET /quictunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"X-Forwarded-For: {forwarded_for}\r\n\r\n"
    )
    with socket.create_connection((LOOPBACK, port), PATIENCE) as sock:
        sock.sendall(head.encode())
        return sock.recv(100)[9:12]


def test_the_networks_of_origins_apply_behind_an_http_proxy(tunnel):
    port = free_port()
    place = f"{LOOPBACK}:{port}"
    tunnel.start_remote("--websocket", place, "--origins-from", "192.0.2.0/24")
    tunnel.wait_for_remote()
    assert status_of(port, "198.51.100.7, 192.0.2.7") == b"101"
    assert status_of(port, "192.0.2.7, 198.51.100.7") == b"404"
    reason = '"its network is not one of --origins-from"'
    tunnel.remote.wait_for_log(logged("peer dropped", source="198.51.100.7", reason=reason))


def test_a_renewed_certificate_is_used_while_a_link_stays_open(tunnel, over_websocket, tmp_path):
    file = write_certificate("localhost", tmp_path)
    port = over_websocket("[::]", "--cert", file, "--key", file)
    client, server = tunnel.pair()
    shown = ssl.get_server_certificate((LOOPBACK, port), timeout=PATIENCE)
    assert shown in file.read_text()
    write_certificate("localhost", tmp_path)
    assert shown not in file.read_text()
    tunnel.remote.wait_for_log("certificate renewed")
    assert ssl.get_server_certificate((LOOPBACK, port), timeout=PATIENCE) in file.read_text()
    client.send(b"still open")
    assert server.receive(10) == b"still open"


def test_a_remote_with_a_websocket_ends_in_order(tunnel, over_websocket):
    over_websocket("[::]")
    client, server = tunnel.pair()
    tunnel.remote.signal(signal.SIGTERM)
    client.send(b"late")
    assert server.receive(4) == b"late"
    client.send_eof()
    server.send_eof()
    assert tunnel.remote.wait() == 0


def test_a_port_that_is_taken_ends_the_remote(tunnel):
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        tunnel.start_remote("--websocket", address)
        assert tunnel.remote.wait() == 2
    assert "--websocket" in tunnel.remote.stderr
    assert "Traceback" not in tunnel.remote.stderr
