"""What clients and origin servers may expect of two installed programs between them."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from programs import PATIENCE
from tunnels import LOOPBACK

MIXED_ENGINES = (
    "test_40_megabytes_down",
    "test_200_clients_at_once_get_each_its_own",
    "test_a_client_that_has_ended_still_gets_its_answer",
    "test_a_server_that_has_ended_still_gets_the_rest",
)
ONE_ENGINE = (
    "test_a_unix_socket_can_be_the_origin_server",
    "test_a_client_is_reset_when_no_origin_comes_in_time",
    "test_a_trusted_proxy_is_believed",
    "test_a_client_that_claims_to_be_a_proxy_is_not",
)

BIG = 40 * 1024**2
"""Bytes: more than a stream's window ever is, and than half a link's, by when more is granted."""
MANY = 200


@pytest.fixture(scope="module")
def big():
    """40 MiB in which no two parts are the same, and their SHA-256."""
    data = random.Random(40).randbytes(BIG)
    return data, hashlib.sha256(data).digest()


def carry(data: bytes, sender, receiver) -> bytes:
    """Send through the tunnel, end, and return the SHA-256 of what arrived."""

    def send() -> None:
        sender.say(data)
        sender.end()

    sending = threading.Thread(target=send)
    sending.start()
    arrived = hashlib.sha256()
    while piece := receiver.sock.recv(1 << 20):
        arrived.update(piece)
    sending.join(PATIENCE)
    return arrived.digest()


def test_40_megabytes_down(standing, big):
    data, digest = big
    client, server = standing.pair()
    assert carry(data, server, client) == digest


def test_40_megabytes_up(standing, big):
    data, digest = big
    client, server = standing.pair()
    assert carry(data, client, server) == digest


def test_200_clients_at_once_get_each_its_own(standing):
    everybody = threading.Barrier(MANY)

    def answer(_: int) -> None:
        server = standing.served()
        question = server.hear(32)
        everybody.wait(PATIENCE)  # all are there before the first is answered
        server.say(question * 1000)
        server.end()

    def ask(number: int) -> bool:
        client = standing.client()
        question = hashlib.sha256(number.to_bytes(2)).digest()
        client.say(question)
        client.end()
        return client.hear_all() == question * 1000

    with ThreadPoolExecutor(MANY) as servers, ThreadPoolExecutor(MANY) as clients:
        answering = servers.map(answer, range(MANY))
        assert all(clients.map(ask, range(MANY)))
        list(answering)


def test_a_client_that_has_ended_still_gets_its_answer(standing):
    client, server = standing.pair()
    client.say(b"x")
    client.end()
    assert server.hear_all() == b"x"
    server.say(b"answer")
    server.end()
    assert client.hear_all() == b"answer"


def test_a_server_that_has_ended_still_gets_the_rest(standing):
    client, server = standing.pair()
    server.say(b"220 ready")
    server.end()
    assert client.hear_all() == b"220 ready"
    client.say(b"the rest")
    client.end()
    assert server.hear_all() == b"the rest"


def test_a_half_closed_connection_goes_after_the_linger(tunnel):
    tunnel.up(remote=("--linger", "300ms"))
    client, server = tunnel.pair()
    client.say(b"x")
    client.end()
    assert server.hear_all() == b"x"
    assert client.is_reset()
    assert server.is_reset_after_its_end()


def test_clients_come_over_ipv6_as_well(standing):
    client = standing.client("::1")
    client.say(b"six")
    assert standing.served().hear(3) == b"six"


def test_a_unix_socket_can_be_the_origin_server(tunnel, tmp_path):
    path = tmp_path / "server"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE)
        tunnel.up(origin=("--origin", f"unix:{path}"))
        assert tunnel.origin.stdout.endswith(f" -> unix:{path}\n")
        client = tunnel.client()
        client.say(b"question")
        with listener.accept()[0] as server:
            assert server.recv(100) == b"question"
            server.sendall(b"answer")
            assert client.hear(6) == b"answer"


def test_a_server_that_is_not_there_is_a_reset_at_the_client(tunnel):
    address = tunnel.server_address
    tunnel.up()
    tunnel.server.close()
    assert tunnel.client().is_reset()
    tunnel.origin.logged(rf"connect to origin server failed .*target={address}")


# Before an origin is there


def test_a_client_before_any_origin_is_served_when_one_comes(tunnel):
    tunnel.start_remote()
    tunnel.remote_is_ready()
    client = tunnel.client()
    client.say(b"early")
    tunnel.start_origin()
    server = tunnel.served()
    assert server.hear(5) == b"early"
    server.say(b"late")
    assert client.hear(4) == b"late"


def test_a_client_is_reset_when_no_origin_comes_in_time(tunnel):
    tunnel.start_remote("--client-wait", "200ms")
    tunnel.remote_is_ready()
    client = tunnel.client()
    client.say(b"anybody?")
    assert client.is_reset()


# Who the client is


def proxy_line(server) -> str:
    """The PROXY protocol v1 header that an origin server is told."""
    line = b""
    while not line.endswith(b"\r\n"):
        line += server.hear(1)
    return line.decode().strip()


def test_a_trusted_proxy_is_believed(tunnel):
    tunnel.up(remote=("--accept-proxy-protocol",), origin=("--proxy-protocol", "v1"))
    client = tunnel.client()
    client.say(b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\nhello")
    server = tunnel.served()
    assert proxy_line(server) == "PROXY TCP4 203.0.113.9 198.51.100.1 4711 443"
    assert server.hear(5) == b"hello"

    client = tunnel.client()
    header = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 10, 198, 51, 100, 1])
    client.say(header + (4712).to_bytes(2) + (443).to_bytes(2) + b"hello")
    server = tunnel.served()
    assert proxy_line(server) == "PROXY TCP4 203.0.113.10 198.51.100.1 4712 443"
    assert server.hear(5) == b"hello"
    tunnel.remote.logged(r"client accepted .*client=203\.0\.113\.9:4711 ")


def test_a_client_that_claims_to_be_a_proxy_is_not(tunnel):
    tunnel.up(
        remote=("--accept-proxy-protocol", "--trusted-proxy", "192.0.2.0/24"),
        origin=("--proxy-protocol", "v2"),
    )
    client = tunnel.client()
    claim = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
    client.say(claim)
    server = tunnel.served()
    header = server.hear(16)
    assert header[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
    told = server.hear(int.from_bytes(header[14:]))
    assert told[:4] == socket.inet_aton(LOOPBACK)
    assert int.from_bytes(told[8:10]) == client.sock.getsockname()[1]
    assert server.hear(len(claim)) == claim
