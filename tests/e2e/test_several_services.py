"""Several services of one origin: ports of the remote, refusals, and restarts."""

from __future__ import annotations

import socket
import time

import pytest

from testkit.programs import PATIENCE, free_port, free_ports
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True


class EchoServer:
    """An origin server that sends its own port to each client."""

    def __init__(self) -> None:
        self.sock = socket.create_server((LOOPBACK, 0))
        self.port = self.sock.getsockname()[1]

    def answer(self) -> None:
        client, _ = self.sock.accept()
        with client:
            client.sendall(str(self.port).encode())


@pytest.fixture
def servers():
    servers = [EchoServer() for _ in range(3)]
    yield servers
    for server in servers:
        server.sock.close()


@pytest.fixture
def ports():
    """The first of three ports in a row that were free."""
    return free_ports(3)


def fetch(port: int, server: EchoServer) -> bytes:
    """Connect to a port of the remote, let the server answer, and return the answer."""
    with socket.create_connection((LOOPBACK, port), PATIENCE) as client:
        server.answer()
        return client.recv(100)


def is_closed(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) != 0


def origin_options(*services) -> tuple[str, ...]:
    return tuple(word for service in services for word in ("--origin", service))


def test_each_service_leads_to_its_own_server(tunnel, servers, ports):
    tunnel.up(
        remote=("--ports", f"{ports}-{ports + 2}"),
        origin=origin_options(
            f"{LOOPBACK}:{servers[0].port}",
            f"{ports}={LOOPBACK}:{servers[1].port}",
            f"auto={LOOPBACK}:{servers[2].port}",
        ),
    )
    line = tunnel.origin.wait_for(
        rf"^ready: {LOOPBACK}:(\d+) at the remote -> .*:{servers[2].port}$"
    )
    auto = int(line[1])
    assert auto in (ports + 1, ports + 2)
    for port, server in zip((tunnel.outside_port, ports, auto), servers, strict=True):
        assert fetch(port, server) == str(server.port).encode()
    tunnel.remote.wait_for_log(rf"client closed .*service={ports} ")
    tunnel.origin.wait_for_log(rf"client closed .*service={ports} ")


def test_a_free_port_is_none_that_the_origin_asks_for_by_number(tunnel, servers, ports):
    options = origin_options(
        f"auto={LOOPBACK}:{servers[0].port}",
        f"{ports}={LOOPBACK}:{servers[1].port}",
        f"{ports + 1}={LOOPBACK}:{servers[2].port}",
    )
    tunnel.up(remote=("--ports", f"{ports}-{ports + 2}"), origin=options)
    for port, server in ((ports + 2, 0), (ports, 1), (ports + 1, 2)):
        assert fetch(port, servers[server]) == str(servers[server].port).encode()


def test_a_range_keeps_the_offset(tunnel, ports):
    first = ports
    servers = [socket.create_server((LOOPBACK, first + number)) for number in range(3)]
    outside = free_port()
    try:
        tunnel.up(
            remote=("--ports", f"{outside}-{outside + 2}"),
            origin=origin_options(f"{outside}-{outside + 2}={LOOPBACK}:{first}-{first + 2}"),
        )
        for number, server in enumerate(servers):
            with socket.create_connection((LOOPBACK, outside + number), PATIENCE):
                server.settimeout(PATIENCE)
                server.accept()[0].close()
    finally:
        for server in servers:
            server.close()


def test_a_refused_service_does_not_affect_the_others(tunnel, servers, ports):
    tunnel.up(
        remote=("--ports", str(ports)),
        origin=origin_options(
            f"{ports}={LOOPBACK}:{servers[0].port}", f"{ports + 1}={LOOPBACK}:{servers[1].port}"
        ),
    )
    sentence = f"the remote does not let origins have port {ports + 1}"
    tunnel.origin.wait_for(rf"^refused: service {ports + 1}: {sentence}; allow it there with ")
    tunnel.remote.wait_for_log(rf'service refused .*service={ports + 1} reason="{sentence}')
    assert fetch(ports, servers[0]) == str(servers[0].port).encode()
    assert is_closed(ports + 1)


def test_no_port_is_open_without_leave(tunnel, servers, ports):
    tunnel.start_remote()
    tunnel.wait_for_remote()
    origin = tunnel.start_origin(*origin_options(f"{ports}={LOOPBACK}:{servers[0].port}"))
    assert origin.wait() == 3
    assert f"allow it there with --ports {ports}" in origin.stderr
    assert is_closed(ports)


def test_clients_wait_at_a_port_while_its_origin_restarts(tunnel, servers, ports):
    options = origin_options(f"{ports}={LOOPBACK}:{servers[0].port}")
    tunnel.up(remote=("--ports", str(ports)), origin=options)
    tunnel.origin.kill()
    tunnel.start_origin(*options)
    tunnel.wait_for_origin()
    assert fetch(ports, servers[0]) == str(servers[0].port).encode()
    tunnel.origin.stop()
    with socket.create_connection((LOOPBACK, ports), PATIENCE) as client:
        tunnel.start_origin(*options)
        servers[0].answer()
        assert client.recv(100) == str(servers[0].port).encode()


def test_a_port_closes_after_its_origin_has_gone(tunnel, servers, ports):
    options = origin_options(f"{ports}={LOOPBACK}:{servers[0].port}")
    tunnel.up(remote=("--ports", str(ports), "--client-wait", "0"), origin=options)
    assert not is_closed(ports)
    servers[0].answer()
    tunnel.origin.stop()
    tunnel.remote.wait_for_log("origin disconnected")
    give_up = time.monotonic() + PATIENCE
    while not is_closed(ports):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_two_origins_of_one_token_have_a_port_each(tunnel, servers, ports):
    first, second = (
        origin_options(f"{ports + number}={LOOPBACK}:{servers[number].port}") for number in (0, 1)
    )
    tunnel.up(remote=("--ports", f"{ports}-{ports + 1}"), origin=first)
    tunnel.start_origin(*second, "--name", "desktop")
    tunnel.wait_for_origin()
    for number in (0, 1):
        assert fetch(ports + number, servers[number]) == str(servers[number].port).encode()
    third = tunnel.start_origin(*first, "--name", "third")
    assert third.wait() == 3
    assert f"origin 'box' already serves port {ports}; stop that one" in third.stderr
