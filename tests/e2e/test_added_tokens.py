"""Tokens that commands add to a running remote, and revoke."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import signal
import socket
import sys
from pathlib import Path

import pytest

from quictunnel.config.state import load_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from testkit.connections import TcpPeer
from testkit.programs import ORIGIN_CONNECTED, PATIENCE, QUICTUNNEL, Program, free_port
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True

DOWNLOAD = random.Random(2).randbytes(4_000_000)


class Setup:
    """A remote without a configuration file, and what `quictunnel token` does to it."""

    def __init__(self, tunnel) -> None:
        self.tunnel = tunnel
        self.peers: list[TcpPeer] = []

    def command(self, *words: object) -> Program:
        """Run `quictunnel token` to its end, for the state directory of the remote."""
        program = self.tunnel.programs.quictunnel("token", *words, "--state-dir", self.tunnel.state)
        program.wait()
        return program

    def new(self, *words: object) -> Token:
        """Add a token with these options, and return it."""
        output = self.command("new", *words).stdout
        return Token.parse(output.splitlines()[0].removeprefix("token: "))

    def origin(self, token: Token, *places: int | str, name: str = "box") -> Program:
        """Start an origin whose services at these places lead to the tunnel's server.

        The empty place is the outside address.
        """
        services = [f"{place}={self.tunnel.server_address}".removeprefix("=") for place in places]
        options = [word for service in services for word in ("--origin", service)]
        return self.tunnel.start_origin(*options, "--name", name, QUICTUNNEL_TOKEN=token.reveal())

    def pair(self, port: int) -> tuple[TcpPeer, TcpPeer]:
        """Return a client of a port, and its connection at the origin server."""
        client = TcpPeer(socket.create_connection((LOOPBACK, port), PATIENCE))
        self.peers.append(client)
        return client, self.tunnel.accept()


@pytest.fixture
def setup(tunnel):
    setup = Setup(tunnel)
    yield setup
    for peer in setup.peers:
        peer.reset()


def is_closed(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) != 0


def test_the_commands_that_the_remote_prints_lead_to_an_origin_that_is_ready(setup, tmp_path):
    """The shell runs the command as it is pasted. The process list does not show the token."""
    programs = setup.tunnel.programs
    remote = setup.tunnel.start_remote(QUICTUNNEL_TOKEN="")
    setup.tunnel.wait_for_remote()
    hint = remote.wait_for("^To see the command for the origin: quictunnel (.*)$")[1]
    shown = programs.quictunnel(*shlex.split(hint))
    assert shown.wait() == 0
    command = shown.wait_for("^origin: (.*)$")[1]
    script = tmp_path / "pasted"
    script.write_text(f'{command} &\necho "pid: $!"\nwait "$!"\n')
    path = f"{QUICTUNNEL.parent}{os.pathsep}{os.environ['PATH']}"
    shell = programs.start("shell", "sh", script, PATH=path)
    shell.wait_for(rf"^ready: {LOOPBACK}:{setup.tunnel.outside_port} at the remote -> ")
    pid = int(shell.wait_for("^pid: (.*)")[1])
    secret = load_token(setup.tunnel.state).secret
    assert secret in command
    if sys.platform == "linux":
        assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    os.kill(pid, signal.SIGTERM)
    assert shell.wait() == 0


def test_an_added_token_gets_its_port_and_no_other(setup):
    allowed, other = free_port(), free_port()
    remote = setup.tunnel.start_remote(QUICTUNNEL_TOKEN="")
    setup.tunnel.wait_for_remote()
    token = setup.new("--ports", allowed, "--comment", "nas")
    remote.wait_for(rf"^reloaded: {setup.tunnel.state}/tokens.toml$")
    origin = setup.origin(token, allowed, other)
    origin.wait_for(rf"^ready: {LOOPBACK}:{allowed} at the remote -> ")
    origin.wait_for(rf"^refused: service {other}: the token does not allow port {other}$")
    client, server = setup.pair(allowed)
    server.send(b"hello")
    assert client.receive(5) == b"hello"
    assert is_closed(other)
    assert origin.stdout.count("refused:") == 1
    assert token.secret not in remote.stdout + remote.stderr


def test_an_added_token_gets_its_host_names_and_no_other(setup):
    token, port = setup.new("--hosts", "*.example.com"), free_port()
    setup.tunnel.start_remote("--tls", f"{LOOPBACK}:0", "--ports", port)
    setup.tunnel.wait_for_remote()
    origin = setup.origin(token, "www.example.com", "www.example.org", "", port)
    origin.wait_for(r"^ready: www\.example\.com:\d+ at the remote -> ")
    origin.wait_for(r"^refused: service \S+: the token does not allow host www\.example\.org$")
    origin.wait_for(rf"^refused: service {port}: the token does not allow port {port}$")
    origin.wait_for(r"^refused: service default: the token does not allow the outside address$")


def test_a_port_is_kept_for_the_token_of_an_origin_that_restarts(setup):
    port = free_port()
    own, other = (setup.new("--ports", port, "--no-outside") for _ in "ab")
    setup.tunnel.start_remote("--client-wait", "10m")
    setup.tunnel.wait_for_remote()
    ready = rf"^ready: {LOOPBACK}:{port} at the remote -> "
    origin = setup.origin(own, port)
    origin.wait_for(ready)
    origin.stop()
    refused = setup.origin(other, port)
    assert refused.wait() == 3
    assert f"an origin with another token had port {port} and may return" in refused.stderr
    setup.origin(own, port).wait_for(ready)


def test_a_revoked_tokens_link_ends_while_another_tokens_downloads_go_on(setup):
    revoked_port, kept_port = free_port(), free_port()
    revoked, kept = (setup.new("--ports", port) for port in (revoked_port, kept_port))
    setup.tunnel.start_remote()  # whose token of the environment is accepted too
    setup.tunnel.wait_for_remote()
    origins = [
        setup.origin(revoked, revoked_port, name="revoked"),
        setup.origin(kept, kept_port, name="kept"),
        setup.tunnel.start_origin("--name", "given"),
    ]
    for origin in origins:
        origin.wait_for("^ready: ")
    half = len(DOWNLOAD) // 2
    client, server = setup.pair(kept_port)
    server.send(DOWNLOAD[:half])
    cut_client, cut_server = setup.pair(revoked_port)
    assert setup.command("revoke", revoked.id).stdout.startswith(f"revoked: {revoked.id}; ")
    assert origins[0].wait() == 3
    assert "the remote no longer accepts this token" in origins[0].stderr
    assert cut_client.is_reset()
    assert cut_server.is_reset()
    received = client.receive(half)
    server.send(DOWNLOAD[half:])
    received += client.receive(len(DOWNLOAD) - half)
    assert hashlib.sha256(received).digest() == hashlib.sha256(DOWNLOAD).digest()
    assert "link lost" not in origins[1].stderr + origins[2].stderr
    again = setup.origin(revoked, revoked_port, name="again")
    assert again.wait() == 3
    assert "does not accept this token" in again.stderr


def test_the_rights_of_an_added_token_change_and_its_origin_is_told(setup):
    port = free_port()
    token = setup.new("--ports", port)
    setup.tunnel.start_remote()
    setup.tunnel.wait_for_remote()
    origin = setup.origin(token, port)
    origin.wait_for("^ready: ")
    store = TokenStore(setup.tunnel.state)
    good = store.path.read_text()
    store.path.write_text("garbage")
    setup.tunnel.remote.wait_for(
        rf"^warning: {store.path}: not TOML: .*; the old configuration stays in use$"
    )
    client, server = setup.pair(port)
    store.path.write_text(good.replace(str(port), str(free_port())))
    origin.wait_for(rf"^refused: service {port}: the token does not allow port {port}$")
    server.send(b"may finish")
    assert client.receive(10) == b"may finish"


def test_a_token_may_move_to_the_configuration_file(setup, tmp_path):
    port = free_port()
    token = setup.new("--ports", port)
    file = tmp_path / "remote.toml"
    file.touch(mode=0o600)
    file.write_text("# nothing\n")
    remote = setup.tunnel.start_remote("--config", file)
    setup.tunnel.wait_for_remote()
    file.write_text(f'[token.{token.id}]\nsecret = "{token.secret}"\nports = {port}\n')
    remote.wait_for(rf"^warning: two tokens have the id {token.id}: one is in .*tokens\.toml, ")
    setup.command("revoke", token.id)
    remote.wait_for(rf"^reloaded: {file}$")
    setup.origin(token, port).wait_for(rf"^ready: {LOOPBACK}:{port} at the remote -> ")


def test_an_expired_token_is_rejected_and_reported(setup):
    token = setup.new("--expires", "4s")
    setup.tunnel.start_remote(QUICTUNNEL_TOKEN="")
    setup.tunnel.wait_for_remote()
    origin = setup.tunnel.start_origin(QUICTUNNEL_TOKEN=token.reveal())
    assert origin.wait() == 3
    assert "the token has expired" in origin.stderr
    (listed,) = json.loads(setup.command("list", "--json").stdout)
    assert listed["expired"]
    assert "(expired)" in setup.command("list").stdout
    setup.tunnel.remote.end()
    again = setup.tunnel.start_remote(QUICTUNNEL_TOKEN="")
    setup.tunnel.wait_for_remote()
    assert again.wait_for(rf"^warning: token\.{token.id} has expired$")


def test_the_remotes_own_token_is_revoked_and_the_next_start_creates_another(setup):
    setup.tunnel.start_remote(QUICTUNNEL_TOKEN="")
    setup.tunnel.wait_for_remote()
    own = load_token(setup.tunnel.state)
    origin = setup.tunnel.start_origin(QUICTUNNEL_TOKEN=own.reveal())
    setup.tunnel.remote.wait_for_log(ORIGIN_CONNECTED)
    assert "creates a new one" in setup.command("revoke", own.id).stdout
    assert origin.wait() == 3
    assert load_token(setup.tunnel.state) is None
    setup.tunnel.remote.end()
    setup.tunnel.start_remote(QUICTUNNEL_TOKEN="")
    setup.tunnel.wait_for_remote()
    assert load_token(setup.tunnel.state).id != own.id


def test_twenty_commands_five_at_once_lose_no_token(setup):
    words = ("token", "new", "--add", "--state-dir", setup.tunnel.state)
    printed = set()
    for _ in range(4):  # more at once would take the processor from other tests for too long
        started = [setup.tunnel.programs.quictunnel(*words) for _ in range(5)]
        for program in started:
            assert program.wait() == 0
            printed.add(program.stdout.splitlines()[0].removeprefix("token: "))
    tokens, _ = TokenStore(setup.tunnel.state).load()
    assert {token.reveal() for token in tokens} == printed
    assert len(printed) == 20


def test_a_directory_that_cannot_be_written_is_one_sentence(programs):
    program = programs.quictunnel("token", "new", "--add", "--state-dir", "/dev/null/state")
    assert program.wait() == 2
    assert program.stdout == ""
    assert program.stderr == (
        "quictunnel: the state directory '/dev/null/state' cannot be created: not a directory\n"
    )
    assert not Path("/dev/null/state").exists()
