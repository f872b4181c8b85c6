"""A link over the remote's WebSocket, with the installed program."""

from __future__ import annotations

import signal
import socket

import pytest

from testkit.programs import free_port, logged
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


def exchange(tunnel) -> None:
    client, server = tunnel.pair()
    client.send(b"question")
    assert server.receive(8) == b"question"
    server.send(b"answer")
    assert client.receive(6) == b"answer"


@pytest.mark.parametrize("host", [LOOPBACK, "[::]"], ids=["ws", "wss"])
def test_a_client_is_served_over_a_websocket(tunnel, over_websocket, host):
    over_websocket(host)
    tunnel.origin.wait_for_log(logged(ESTABLISHED, path="websocket"))
    exchange(tunnel)
    scheme = "ws" if host == LOOPBACK else "wss"
    assert f"Origins whose network blocks UDP connect to {scheme}://" in tunnel.remote.stdout


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
    exchange(tunnel)
    with socket.create_connection((LOOPBACK, port), 10) as sock:
        sock.sendall(b"GET /quictunnel HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 404 ")


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
