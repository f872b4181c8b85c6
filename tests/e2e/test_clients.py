"""Clients and an origin server, with two installed programs between them."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from testkit.programs import CLIENT_ACCEPTED, PATIENCE, SERVER_REFUSED, logged
from testkit.tunnel import LOOPBACK

MIXED_ENGINES = (
    "test_40_megabytes_down",
    "test_each_of_200_concurrent_clients_gets_its_own_answer",
    "test_a_half_closed_client_gets_its_answer",
    "test_a_half_closed_server_gets_the_rest",
)
ONE_ENGINE = (
    "test_a_unix_socket_can_be_the_origin_server",
    "test_a_client_is_reset_if_no_origin_connects_in_time",
    "test_the_header_of_a_trusted_proxy_is_used",
    "test_the_header_of_an_untrusted_proxy_is_payload",
)

BIG = 40 * 1024**2
"""Bytes: more than a stream's largest window, and more than half of a link's window."""
MANY = 200


@pytest.fixture(scope="module")
def big():
    """40 MiB of random bytes, and their SHA-256."""
    data = random.Random(40).randbytes(BIG)
    return data, hashlib.sha256(data).digest()


def transfer(data: bytes, sender, receiver) -> bytes:
    """Send through the tunnel, then FIN; return the SHA-256 of the bytes that arrived."""

    def send_all() -> None:
        sender.send(data)
        sender.send_eof()

    sending = threading.Thread(target=send_all)
    sending.start()
    arrived = hashlib.sha256()
    while piece := receiver.sock.recv(1 << 20):
        arrived.update(piece)
    sending.join(PATIENCE)
    return arrived.digest()


def test_40_megabytes_down(shared_tunnel, big):
    data, digest = big
    client, server = shared_tunnel.pair()
    assert transfer(data, server, client) == digest


def test_40_megabytes_up(shared_tunnel, big):
    data, digest = big
    client, server = shared_tunnel.pair()
    assert transfer(data, client, server) == digest


def test_each_of_200_concurrent_clients_gets_its_own_answer(shared_tunnel):
    all_connected = threading.Barrier(MANY)

    def answer(_: int) -> None:
        server = shared_tunnel.accept()
        question = server.receive(32)
        all_connected.wait(PATIENCE)  # all clients connect before the first gets an answer
        server.send(question * 1000)
        server.send_eof()

    def ask(number: int) -> bool:
        client = shared_tunnel.connect()
        question = hashlib.sha256(number.to_bytes(2)).digest()
        client.send(question)
        client.send_eof()
        return client.receive_all() == question * 1000

    with ThreadPoolExecutor(MANY) as servers, ThreadPoolExecutor(MANY) as clients:
        answering = servers.map(answer, range(MANY))
        assert all(clients.map(ask, range(MANY)))
        list(answering)


def test_a_half_closed_client_gets_its_answer(shared_tunnel):
    client, server = shared_tunnel.pair()
    client.send(b"x")
    client.send_eof()
    assert server.receive_all() == b"x"
    server.send(b"answer")
    server.send_eof()
    assert client.receive_all() == b"answer"


def test_a_half_closed_server_gets_the_rest(shared_tunnel):
    client, server = shared_tunnel.pair()
    server.send(b"220 ready")
    server.send_eof()
    assert client.receive_all() == b"220 ready"
    client.send(b"the rest")
    client.send_eof()
    assert server.receive_all() == b"the rest"


def test_a_half_closed_connection_is_reset_after_the_linger(tunnel):
    tunnel.up(remote=("--linger", "300ms"))
    client, server = tunnel.pair()
    client.send(b"x")
    client.send_eof()
    assert server.receive_all() == b"x"
    assert client.is_reset()
    assert server.is_reset_after_eof()


def test_clients_connect_over_ipv6(shared_tunnel):
    client = shared_tunnel.connect("::1")
    client.send(b"six")
    assert shared_tunnel.accept().receive(3) == b"six"


def test_a_unix_socket_can_be_the_origin_server(tunnel, tmp_path):
    path = tmp_path / "server"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE)
        tunnel.up(origin=("--origin", f"unix:{path}"))
        assert tunnel.origin.stdout.endswith(f" -> unix:{path}\n")
        client = tunnel.connect()
        client.send(b"question")
        with listener.accept()[0] as server:
            assert server.recv(100) == b"question"
            server.sendall(b"answer")
            assert client.receive(6) == b"answer"


def test_a_client_is_reset_if_the_origin_server_refuses(tunnel):
    address = tunnel.server_address
    tunnel.up()
    tunnel.server.close()
    assert tunnel.resets_client()
    tunnel.origin.wait_for_log(logged(SERVER_REFUSED, target=address))


# Clients that connect before an origin


def test_a_client_waits_for_an_origin(tunnel):
    tunnel.start_remote()
    tunnel.wait_for_remote()
    client = tunnel.connect()
    client.send(b"early")
    tunnel.start_origin()
    server = tunnel.accept()
    assert server.receive(5) == b"early"
    server.send(b"late")
    assert client.receive(4) == b"late"


def test_a_client_is_reset_if_no_origin_connects_in_time(tunnel):
    tunnel.start_remote("--client-wait", "200ms")
    tunnel.wait_for_remote()
    client = tunnel.connect()
    client.send(b"hello?")
    assert client.is_reset()


# Client addresses


def proxy_line(server) -> str:
    """Read the PROXY protocol v1 header that the origin server gets."""
    line = b""
    while not line.endswith(b"\r\n"):
        line += server.receive(1)
    return line.decode().strip()


def test_the_header_of_a_trusted_proxy_is_used(tunnel):
    tunnel.up(remote=("--accept-proxy-protocol",), origin=("--proxy-protocol", "v1"))
    client = tunnel.connect()
    client.send(b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\nhello")
    server = tunnel.accept()
    assert proxy_line(server) == "PROXY TCP4 203.0.113.9 198.51.100.1 4711 443"
    assert server.receive(5) == b"hello"

    client = tunnel.connect()
    header = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 10, 198, 51, 100, 1])
    client.send(header + (4712).to_bytes(2) + (443).to_bytes(2) + b"hello")
    server = tunnel.accept()
    assert proxy_line(server) == "PROXY TCP4 203.0.113.10 198.51.100.1 4712 443"
    assert server.receive(5) == b"hello"
    tunnel.remote.wait_for_log(logged(CLIENT_ACCEPTED, client=r"203\.0\.113\.9:4711 "))


def test_the_header_of_an_untrusted_proxy_is_payload(tunnel):
    tunnel.up(
        remote=("--accept-proxy-protocol", "--trusted-proxy", "192.0.2.0/24"),
        origin=("--proxy-protocol", "v2"),
    )
    client = tunnel.connect()
    claim = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
    client.send(claim)
    server = tunnel.accept()
    header = server.receive(16)
    assert header[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
    addresses = server.receive(int.from_bytes(header[14:]))
    assert addresses[:4] == socket.inet_aton(LOOPBACK)
    assert int.from_bytes(addresses[8:10]) == client.sock.getsockname()[1]
    assert server.receive(len(claim)) == claim
