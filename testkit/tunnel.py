"""A tunnel: `quictunnel remote` and `quictunnel origin` as programs, and connections through it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

from quictunnel.config.tokens import Token
from testkit.connections import TcpPeer
from testkit.namespaces import THIS_HOST, ProgramHost
from testkit.programs import (
    PATIENCE,
    QUICTUNNEL,
    READY_ORIGIN,
    READY_REMOTE,
    Program,
    Programs,
    free_port,
)

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"


class Tunnel:
    """A remote and an origin. As a context manager, it stops both at the end.

    Both programs may start at the same time, so the port for origins is chosen before.

    :param scratch: a folder for the remote's state and the output of the programs.
    :param engines: those of the origin and of the remote.
    :param server: the origin server, as `--origin` takes it. Without it the tunnel has an origin
        server of its own, `server`, whose connections `accept` returns.
    :param listen: the remote's address for origins. By default a free port on loopback.
    :param outside: the remote's address for clients.
    :param remote_name: the host by which the origin reaches the remote.
    :param remote_host: where the remote runs.
    :param origin_host: where the origin runs.
    """

    def __init__(
        self,
        scratch: Path,
        engines: tuple[str, str] = ("auto", "auto"),
        *,
        server: str | None = None,
        listen: str | None = None,
        outside: str = f"{LOOPBACK}:0",
        remote_name: str = LOOPBACK,
        remote_host: ProgramHost = THIS_HOST,
        origin_host: ProgramHost = THIS_HOST,
    ) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.state = scratch / "state"
        self.engines = engines
        self.token = Token.new()
        self.programs = Programs(scratch)
        self.remote: Program
        self.origin: Program
        self.listen = listen or f"{LOOPBACK}:{free_port()}"
        self.outside = outside
        self.outside_port = 0
        """The port for clients, once the remote is ready."""
        self._server: socket.socket | None = None
        if server is None:
            self._server = socket.create_server((LOOPBACK, 0), backlog=512)
            self._server.settimeout(PATIENCE)
            server = f"{LOOPBACK}:{self._server.getsockname()[1]}"
        self.server_address = server
        self._remote_name = remote_name
        self._remote_host = remote_host
        self._origin_host = origin_host
        self._peers: list[TcpPeer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._close_sockets()
        finally:
            self.programs.stop()

    def end(self) -> None:
        """End both programs, and assert that nothing went wrong in them."""
        try:
            self._close_sockets()
        finally:
            self.programs.end()

    # The programs

    @property
    def link_port(self) -> int:
        """The remote's UDP port for origins."""
        return int(self.listen.rpartition(":")[2])

    def up(self, *, remote: tuple[object, ...] = (), origin: tuple[object, ...] = ()) -> Self:
        """Start both programs with these additional options, and wait until both are ready."""
        self.start_remote(*remote)
        self.start_origin(*origin)
        self.wait_for_remote()
        self.wait_for_origin()
        return self

    def start_remote(self, *options: object, **environment: str) -> Program:
        """Start a remote, without waiting for it."""
        words = ["--listen", self.listen, "--outside", self.outside, "--state-dir", self.state]
        command = self._remote_host.command(QUICTUNNEL, "remote", *words, *options)
        settings = self._environment(self.engines[1]) | environment
        self.remote = self.programs.start("remote", *command, **settings)
        return self.remote

    def start_origin(self, *options: object, **environment: str) -> Program:
        """Start an origin, without waiting for it. A file of `--config` has its own services."""
        words = ["--remote", f"{self._remote_name}:{self.link_port}"]
        words += ["--name", "box"]
        if not {"--origin", "--config"} & set(options):
            words += ["--origin", self.server_address]
        command = self._origin_host.command(QUICTUNNEL, "origin", *words, *options)
        settings = self._environment(self.engines[0]) | environment
        self.origin = self.programs.start("origin", *command, **settings)
        return self.origin

    def wait_for_remote(self) -> Program:
        """Wait until the remote is ready, and learn its ports."""
        ready = self.remote.wait_for(READY_REMOTE)
        self.remote.ready = ready[0]
        self.outside_port = int(ready[2])
        return self.remote

    def wait_for_origin(self) -> Program:
        """Wait until the origin is ready."""
        self.origin.ready = self.origin.wait_for(READY_ORIGIN)[0]
        return self.origin

    def resident_memory(self) -> int:
        """Return the resident memory of both programs, in bytes."""
        return self.remote.resident_memory() + self.origin.resident_memory()

    def _environment(self, engine: str) -> dict[str, str]:
        return {"QUICTUNNEL_TOKEN": self.token.reveal(), "QUICTUNNEL_ENGINE": engine}

    # Connections

    @property
    def server(self) -> socket.socket:
        """The listening socket of the tunnel's own origin server."""
        assert self._server is not None, "the tunnel leads to another origin server"
        return self._server

    def connect(self, host: str = LOOPBACK) -> TcpPeer:
        """Connect as a client."""
        sock = socket.create_connection((host, self.outside_port), PATIENCE)
        return self._controlled(sock)

    def resets_client(self) -> bool:
        """Connect as a client; return whether the connection is reset, perhaps at once."""
        try:
            return self.connect().is_reset()
        except ConnectionResetError:
            return True

    def accept(self) -> TcpPeer:
        """Accept the next client's connection, as the origin server."""
        return self._controlled(self.server.accept()[0])

    def pair(self) -> tuple[TcpPeer, TcpPeer]:
        """Return a new client and its connection at the origin server."""
        return self.connect(), self.accept()

    def has_no_client(self) -> bool:
        """Return whether no client waits to be accepted by the origin server."""
        self.server.setblocking(False)
        try:
            self.accept()
        except BlockingIOError:
            return True
        finally:
            self.server.settimeout(PATIENCE)
        return False

    def reset_connections(self) -> None:
        """Reset every connection, at both ends."""
        for peer in self._peers:
            peer.reset()
        self._peers.clear()

    def _close_sockets(self) -> None:
        self.reset_connections()
        if self._server is not None:
            self._server.close()

    def _controlled(self, sock: socket.socket) -> TcpPeer:
        peer = TcpPeer(sock)
        self._peers.append(peer)
        return peer
