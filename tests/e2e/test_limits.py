"""Policies of the installed program: rates, idle timeouts, files of networks, and both ends'."""

from __future__ import annotations

import contextlib
import socket

import pytest

from testkit.flows import flow
from testkit.programs import CLIENT_CLOSED, PATIENCE, free_ports, logged
from testkit.tunnel import LOOPBACK

ONE_ENGINE = (
    "test_the_rate_of_a_client_is_not_exceeded",
    "test_the_rate_of_a_token_is_not_exceeded",
    "test_an_idle_client_is_reset",
    "test_a_file_of_networks_is_applied_to_new_clients",
    "test_a_range_does_not_avoid_the_policy_of_a_port",
    "test_the_origin_narrows_the_policy_of_the_remote",
)

SECONDS = 3.0
"""Long enough that the burst at the start, a tenth of a second, is 3 % of the bytes."""

TOO_FAST = 10.5
"""Mbit/s that a rate of 10 Mbit/s never reaches, however slow this machine is."""


class Configured:
    """A tunnel whose ends have configuration files."""

    def __init__(self, tunnel, folder) -> None:
        self.tunnel = tunnel
        self.remote_file = folder / "remote.toml"
        self.origin_file = folder / "origin.toml"

    def up(self, remote: str = "", origin: str = "") -> None:
        """Start both ends. Lines of the origin's file belong to its only service."""
        tunnel = self.tunnel
        self.remote_file.write_text(remote)
        self.write_origin(origin)
        tunnel.start_remote("--config", self.remote_file)
        tunnel.start_origin("--config", self.origin_file)
        tunnel.wait_for_remote()
        tunnel.wait_for_origin()

    def write_origin(self, lines: str) -> None:
        server = self.tunnel.server_address
        self.origin_file.write_text(f'[service.web]\nto = "{server}"\n{lines}')

    def is_rejected(self) -> bool:
        """Return whether a new client is reset before the origin server gets a connection."""
        return self.tunnel.resets_client() and self.tunnel.has_no_client()

    def exchange(self) -> None:
        """Check that a new client can use the tunnel."""
        self.check(*self.tunnel.pair())

    @staticmethod
    def check(client, server) -> None:
        client.send(b"question")
        assert server.receive(8) == b"question"
        server.send(b"answer")
        assert client.receive(6) == b"answer"


@pytest.fixture
def configured(tunnel, tmp_path):
    return Configured(tunnel, tmp_path)


def check_rate(tunnel, clients: int) -> None:
    """Check the rate of so many clients in each direction, both at the same time."""
    down = [tunnel.pair() for _ in range(clients)]
    up = [tunnel.pair() for _ in range(clients)]
    senders = [server for _, server in down] + [client for client, _ in up]
    receivers = [client for client, _ in down] + [server for _, server in up]
    result = flow(senders, receivers, SECONDS)
    assert min(result.received) > 0  # none starves
    for received in (result.received[:clients], result.received[clients:]):
        assert sum(received) * 8 / result.seconds / 1e6 < TOO_FAST


@pytest.mark.parametrize("clients", [1, 50])
def test_the_rate_of_a_place_is_not_exceeded(configured, clients):
    configured.up(remote='[policy.default]\nrate = "10Mbit"\n')
    check_rate(configured.tunnel, clients)


def test_the_rate_of_a_client_is_not_exceeded(configured):
    configured.up(remote='[policy.default]\nrate-per-client = "1.25MB"\n')
    check_rate(configured.tunnel, 1)


def test_the_rate_of_a_token_is_not_exceeded(configured):
    configured.up(remote=f'[token.{configured.tunnel.token.id}]\nrate = "10Mbit"\n')
    check_rate(configured.tunnel, 10)


def test_the_rate_of_a_service_is_not_exceeded_at_the_origin(configured):
    configured.up(origin='rate = "10Mbit"\n')
    check_rate(configured.tunnel, 10)


def test_an_idle_client_is_reset(configured):
    configured.up(remote='[policy.default]\nidle-timeout = "1s"\n')
    client, server = configured.tunnel.pair()
    configured.check(client, server)
    assert client.is_reset()
    assert server.is_reset()
    for program in (configured.tunnel.remote, configured.tunnel.origin):
        reason = '"idle for longer than the policy allows"'
        program.wait_for_log(logged(CLIENT_CLOSED, reason=reason))


def test_a_file_of_networks_is_applied_to_new_clients(configured, tmp_path):
    networks = tmp_path / "denied"
    networks.write_text("# none\n")
    configured.up(remote='[policy.default]\ndeny-file = "denied"\n')
    remote = configured.tunnel.remote
    pair = configured.tunnel.pair()
    networks.write_text(f"192.0.2.0/24\n{LOOPBACK}  # it went too far\n")
    remote.wait_for(r"^reloaded: ")
    assert configured.is_rejected()
    configured.check(*pair)
    networks.write_text("nonsense\n")
    place = r"\S+: policy.default.deny-file: the list of networks '\S+/denied', line 1"
    remote.wait_for(f"^warning: {place}: 'nonsense' is not a network")
    assert configured.is_rejected()
    networks.write_text("")
    remote.wait_for(r"^reloaded: ", times=2)
    configured.exchange()


def test_a_range_does_not_avoid_the_policy_of_a_port(configured):
    port, tunnel = free_ports(2), configured.tunnel
    ports = f'"{port}-{port + 1}"\n'
    configured.up(
        remote=f'ports = {ports}[policy.{port + 1}]\ndeny = "127.0.0.0/8"\n',
        origin=f"port = {ports}",
    )
    with socket.create_connection((LOOPBACK, port), PATIENCE):
        tunnel.accept()
    with contextlib.suppress(ConnectionResetError):  # it may come before connect() has returned
        socket.create_connection((LOOPBACK, port + 1), PATIENCE).close()
    reason = f'"the policy of port {port + 1} does not allow the address"'
    rejected = logged("client rejected", peer=rf"{LOOPBACK}:\d+", reason=reason)
    tunnel.remote.wait_for_log(rejected)


def test_the_origin_narrows_the_policy_of_the_remote(configured):
    configured.up(remote='[policy.default]\nallow = "127.0.0.0/8"\n')
    tunnel = configured.tunnel
    pair = tunnel.pair()
    configured.write_origin(f'deny = "{LOOPBACK}"\n')
    tunnel.origin.wait_for(r"^reloaded: ")
    assert configured.is_rejected()
    reason = '"the policy of the service default does not allow the address"'
    tunnel.origin.wait_for_log(logged("client rejected", peer=rf"{LOOPBACK}:\d+", reason=reason))
    reason = '"rejected by a policy of the origin"'
    tunnel.remote.wait_for_log(logged(CLIENT_CLOSED, reason=reason))
    configured.check(*pair)
    configured.write_origin("max-clients = 2\n")
    tunnel.origin.wait_for(r"^reloaded: ", times=2)
    second = tunnel.pair()
    assert configured.is_rejected()
    second[0].reset()
    assert second[1].is_reset()
    tunnel.origin.wait_for_log(logged(CLIENT_CLOSED, reason='"the client reset'))
    configured.exchange()
