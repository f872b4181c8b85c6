"""A tunnel whose ends have configuration files."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from testkit.connections import TcpPeer
from testkit.programs import PATIENCE, free_ports
from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.tunnel import Tunnel

SERVICES = 100


class ConfiguredTunnel:
    """A tunnel whose ends have configuration files, and ports in a row that were free."""

    def __init__(self, tunnel: Tunnel, folder: Path, services: int = SERVICES) -> None:
        self.tunnel = tunnel
        self.remote_file = folder / "remote.toml"
        self.origin_file = folder / "origin.toml"
        self.token_file = folder / "tokens"
        self.services = services
        self.port = free_ports(services + 1)
        self._peers: list[TcpPeer] = []

    def write_remote(self, text: str = "") -> None:
        ports = f'ports = "{self.port}-{self.port + self.services}"\n'
        if text.startswith("ports"):
            ports = ""
        self.remote_file.write_text(ports + 'token-file = "tokens"\n' + text)

    def write_origin(self, *numbers: int, head: str = "", check: str = "") -> None:
        """Write the origin's file.

        :param numbers: of the services. Number 0 is at the first port.
        :param head: the lines above the services.
        :param check: the lines with a health check, for the last service.
        """
        server = self.tunnel.server_address
        tables = (f'[service.s{n}]\nto = "{server}"\nport = {self.port + n}\n' for n in numbers)
        self.origin_file.write_text(head + "".join(tables) + check)

    def write_tokens(self, *tokens: str) -> None:
        self.token_file.touch(0o600)
        self.token_file.write_text("".join(f"{token}\n" for token in tokens))

    def up(self, *numbers: int) -> None:
        """Start both programs with these services, and wait until they are ready."""
        self.write_remote()
        self.start(*numbers)
        self.tunnel.origin.wait_for(self.ready(numbers[-1]))

    def start(self, *numbers: int, check: str = "") -> None:
        """Start both programs with these services. The remote's file exists."""
        tunnel = self.tunnel
        self.write_tokens(tunnel.token.reveal())
        self.write_origin(*numbers, check=check)
        self._start_remote()
        command = ["origin", "--remote", f"{LOOPBACK}:{tunnel.link_port}", "--name", "box"]
        tunnel.origin = tunnel.programs.quictunnel(
            *command, "--config", self.origin_file, QUICTUNNEL_TOKEN=tunnel.token.reveal()
        )
        tunnel.wait_for_remote()

    def restart_remote(self) -> None:
        """Kill the remote, and start it again."""
        self.tunnel.remote.kill()
        self._start_remote()
        self.tunnel.wait_for_remote()

    def _start_remote(self) -> None:
        self.tunnel.start_remote("--config", self.remote_file, QUICTUNNEL_TOKEN="")

    def ready(self, number: int) -> str:
        return rf"^ready: {LOOPBACK}:{self.port + number} at the remote"

    def pair(self, number: int) -> tuple[TcpPeer, TcpPeer]:
        """Return a client of a service, and its connection at the origin server."""
        client = TcpPeer(socket.create_connection((LOOPBACK, self.port + number), PATIENCE))
        server = self.tunnel.accept()
        self._peers.append(client)
        return client, server

    def is_closed(self, number: int) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((LOOPBACK, self.port + number)) != 0

    def close(self) -> None:
        for peer in self._peers:
            peer.reset()


def exchange(client: TcpPeer, server: TcpPeer) -> None:
    client.send(b"question")
    assert server.receive(8) == b"question"
    server.send(b"answer")
    assert client.receive(6) == b"answer"
