"""Checks of origin servers: a service is withdrawn while its server does not work."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest
from configured_tunnel import exchange

from testkit.connections import TcpPeer
from testkit.programs import PATIENCE, logged
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True

QUICK = 'check-interval = "100ms"\ncheck-failures = 2\n'


class WebServer:
    """An HTTP server whose health page has the status that the test sets."""

    def __init__(self) -> None:
        web_server = self
        self.status = 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(web_server.status if self.path == "/healthz" else 200)
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, *_) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.address = f"{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web_server():
    server = WebServer()
    yield server
    server.close()


def is_turned_away(port: int) -> bool:
    """Return whether a client is treated as without an origin: refused, or reset after its wait."""
    try:
        client = socket.create_connection((LOOPBACK, port), PATIENCE)
    except ConnectionError:
        return True
    with client:
        return TcpPeer(client).is_reset()


def fetch(port: int) -> bytes:
    with socket.create_connection((LOOPBACK, port), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
        return answer


def test_a_server_that_dies_and_returns(setup):
    setup.write_remote('client-wait = "300ms"\n')
    server = setup.tunnel.server
    port = server.getsockname()[1]
    setup.start(0, check='check = "tcp"\n' + QUICK)
    origin = setup.tunnel.origin
    origin.wait_for(setup.ready(0))
    server.close()
    name = "service s0"
    origin.wait_for(f"^unhealthy: {name}: connection refused; withdrawn until the check succeeds$")
    setup.tunnel.remote.wait_for_log(logged("services changed", services='""'))
    assert is_turned_away(setup.port)
    with socket.create_server((LOOPBACK, port)) as server:
        origin.wait_for(f"^healthy: {name}: offered again after [0-9]+ s$")
        origin.wait_for(setup.ready(0), times=2)
        with socket.create_connection((LOOPBACK, setup.port), PATIENCE) as client:
            server.settimeout(PATIENCE)
            client.sendall(b"question")
            assert is_asked(server)
    setup.tunnel.origin.wait_for_log(logged("service healthy", service="s0"))


def is_asked(server: socket.socket) -> bool:
    """Return whether a client sends its question. Checks connect and send nothing."""
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PATIENCE)
            if data := connection.recv(100):
                return data == b"question"


def test_a_web_server_whose_health_page_fails(setup, web_server):
    setup.tunnel.server_address = web_server.address
    setup.write_remote('client-wait = "300ms"\n')
    setup.start(0, 1, check=f'check = "http://{web_server.address}/healthz"\n' + QUICK)
    origin = setup.tunnel.origin
    for number in (0, 1):
        origin.wait_for(setup.ready(number))
        assert fetch(setup.port + number).endswith(b"hello")
    web_server.status = 503
    origin.wait_for("^unhealthy: service s1: HTTP status 503; withdrawn until the check succeeds$")
    setup.tunnel.remote.wait_for_log(logged("services changed", services="s0$"))
    assert is_turned_away(setup.port + 1)
    web_server.status = 404
    origin.wait_for("^unhealthy: service s1: HTTP status 404; withdrawn until the check succeeds$")
    # The link stays, and other services do not notice.
    assert "link lost" not in origin.stderr
    web_server.status = 302
    origin.wait_for(setup.ready(1), times=2)
    assert fetch(setup.port + 1).endswith(b"hello")


def test_an_origin_connects_again_while_its_server_is_down(setup):
    setup.write_remote('client-wait = "300ms"\n')
    setup.start(0, check='check = "tcp"\n' + QUICK)
    origin = setup.tunnel.origin
    origin.wait_for(setup.ready(0))
    port = setup.tunnel.server.getsockname()[1]
    setup.tunnel.server.close()
    origin.wait_for("^unhealthy: ")
    setup.restart_remote()
    origin.wait_for_log(logged("link established"), times=2)
    assert is_turned_away(setup.port)
    with socket.create_server((LOOPBACK, port)):
        origin.wait_for(setup.ready(0), times=2)


def test_a_changed_check_is_applied_and_other_services_notice_nothing(setup):
    setup.up(0, 1)
    pairs = [setup.pair(0), setup.pair(1)]
    setup.write_origin(0, 1, check='check = "tcp"\n')
    setup.tunnel.origin.wait_for("^reloaded: ")
    for pair in pairs:
        exchange(*pair)
    setup.write_origin(0, 1, check='check = "ping"\n')
    sentence = "service.s1.check: 'ping' is not a check; write tcp or http://localhost:8000/healthz"
    setup.tunnel.origin.wait_for(f"^warning: .*: {sentence}; the old configuration stays in use$")
