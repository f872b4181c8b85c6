"""Origins and remotes that are rejected: the installed program says why, in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration
from scripted_peers import ManInTheMiddle, in_thread, scripted_origin, scripted_remote
from time_limit import time_limit

from quictunnel.config.certificates import CertificateFiles, format_pin
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.protocol.messages import Hello, Service, Welcome
from quictunnel.protocol.preamble import Preamble, encode_v2
from testkit.forwarder import Forwarder
from testkit.programs import (
    BAD_TOKEN,
    MAN_IN_THE_MIDDLE,
    NOT_A_REMOTE,
    PROOF_FAILED,
    PROOF_WRONG,
    TOKEN_NEEDED,
    Program,
    logged,
)
from testkit.tunnel import LOOPBACK, Tunnel

ONE_ENGINE = (
    "test_an_origin_is_rejected_for",
    "test_failed_proofs_are_counted_and_logged_with_the_address",
    "test_a_server_of_another_protocol_is_rejected",
    "test_a_remote_without_the_token_gets_no_connection",
    "test_a_man_in_the_middle_gets_nowhere",
    "test_a_man_in_the_middle_cannot_guess_the_proof",
)

REJECTED = 3
"""The exit code of an origin for which retrying is useless."""

WRONG = Token.new()
"""A token that no remote knows."""


def is_rejected(program: Program, sentence: str) -> bool:
    """Wait for the end of the program; return whether its last line is this sentence."""
    assert program.wait() == REJECTED, str(program)
    assert program.stdout == ""
    *_, last = program.stderr.splitlines()
    return re.match(rf"quictunnel: .*{sentence}", last) is not None


# Tokens and certificates

REASONS = {
    "a wrong secret": BAD_TOKEN,
    "an unknown token": BAD_TOKEN,
    "no token for a pinned remote": f"requires a token, .*; {TOKEN_NEEDED}",
    "no token and nothing verified": f"does not verify: .*; {TOKEN_NEEDED}",
    "a wrong pin": "not the pinned one",
    "a wrong CA": "does not verify",
}


@pytest.fixture
def start_rejected(shared_tunnel, engines, programs, tmp_path):
    """Starts an origin that the remote rejects, for one of REASONS."""

    def start(reason: str, name: str = "thief") -> Program:
        options, token = rejected_origin(reason, shared_tunnel, tmp_path / "other")
        return programs.quictunnel(
            "origin",
            *("--remote", f"{LOOPBACK}:{shared_tunnel.link_port}", "--origin", "9", "--name", name),
            *options,
            QUICTUNNEL_TOKEN=token,
            QUICTUNNEL_ENGINE=engines[0],
        )

    return start


def rejected_origin(reason: str, remote: Tunnel, other: Path) -> tuple[tuple[object, ...], str]:
    """Return the options and the token of an origin that this remote rejects."""
    own = remote.state / "server.pem"
    good = remote.token
    match reason:
        case "a wrong secret":
            return (), f"{good.id}.{WRONG.secret}"
        case "an unknown token":
            return (), WRONG.reveal()
        case "no token for a pinned remote":
            certificate = CertificateFiles(own, own.with_suffix(".key")).current
            return ("--pin", format_pin(certificate.fingerprint)), ""
        case "no token and nothing verified":
            return (), ""
        case "a wrong pin":
            return ("--pin", f"sha256:{'00' * 32}"), good.reveal()
        case "a wrong CA":
            ca, _ = load_or_make_certificate(other)
            return ("--remote", f"localhost:{remote.link_port}", "--ca", ca), good.reveal()
    raise ValueError(reason)


@pytest.mark.parametrize(("reason", "sentence"), REASONS.items())
def test_an_origin_is_rejected_for(start_rejected, reason, sentence, shared_tunnel):
    program = start_rejected(reason)
    assert is_rejected(program, sentence)
    for secret in [shared_tunnel.token.secret, WRONG.secret]:
        assert secret not in program.stderr


def test_failed_proofs_are_counted_and_logged_with_the_address(tunnel):
    """The remote logs one failure a minute, and the others a minute later or when it ends."""
    tunnel.start_remote()
    tunnel.wait_for_remote()
    token = f"{tunnel.token.id}.{WRONG.secret}"
    for name in ("first-guess", "second-guess"):
        origin = tunnel.start_origin("--name", name, QUICTUNNEL_TOKEN=token)
        assert origin.wait() == REJECTED
    tunnel.end()
    for number, name in enumerate(("first-guess", "second-guess"), 1):
        counts = {"failures_from_source": number, "failures_total": number, "suppressed": 0}
        fields = {"origin": name, "peer": rf"{LOOPBACK}:\d+"} | counts
        assert re.search(logged(PROOF_FAILED, **fields), tunnel.remote.stderr)


def test_the_right_ca_is_enough(tunnel):
    cert, _ = load_or_make_certificate(tunnel.state)
    tunnel.up(origin=("--ca", cert, "--remote", f"localhost:{tunnel.link_port}"))


# Impostors


async def test_a_server_of_another_protocol_is_rejected(tunnel, tmp_path):
    cert, key = load_or_make_certificate(tmp_path)
    http = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    http.load_cert_chain(cert, key)
    server = await serve(LOOPBACK, tunnel.link_port, configuration=http)
    try:
        origin = tunnel.start_origin()
        assert await in_thread(is_rejected, origin, NOT_A_REMOTE)
    finally:
        server.close()


async def test_a_remote_without_the_token_gets_no_connection(tunnel, tmp_path):
    with time_limit():
        async with scripted_remote(tmp_path) as (port, peers):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}")
            impostor = await peers.get()
            await impostor.made.wait()
            # Streams before any proof. Each would make the origin connect to its server.
            for _ in range(10):
                client = Preamble(client=None, outside=None, service="default", client_id="0")
                impostor.open().stream.write(encode_v2(client) + b"let me in")
            control = await impostor.accepted.get()
            hello = await control.receive()
            assert isinstance(hello, Hello)
            # The only proof that it has is the origin's own.
            control.send(welcome(hello.proof))
            assert await in_thread(is_rejected, origin, PROOF_WRONG)
            assert tunnel.has_no_client()


async def test_a_man_in_the_middle_gets_nowhere(tunnel, tmp_path):
    tunnel.start_remote()
    tunnel.wait_for_remote()
    client = tunnel.connect()
    client.send(b"a client's own words")
    middle = ManInTheMiddle()
    with time_limit():
        async with (
            scripted_remote(tmp_path) as (port, peers),
            scripted_origin(tunnel.link_port) as pretender,
        ):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}")
            victim = await peers.get()
            await victim.made.wait()
            middle.connect(victim, pretender)
            assert await in_thread(is_rejected, origin, BAD_TOKEN)
            middle.stop()
    tunnel.remote.wait_for_log(logged(PROOF_FAILED))
    assert b'"hello"' in middle.overheard  # it did see the control stream
    assert tunnel.token.secret.encode() not in middle.overheard
    assert b"own words" not in middle.overheard
    assert tunnel.has_no_client()


async def test_a_man_in_the_middle_cannot_guess_the_proof(tunnel, tmp_path):
    with time_limit():
        async with scripted_remote(tmp_path) as (port, peers):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}")
            middle = await peers.get()
            control = await middle.accepted.get()
            await control.receive()
            control.send(welcome("00" * 32))
            assert await in_thread(is_rejected, origin, MAN_IN_THE_MIDDLE)
            assert tunnel.has_no_client()


def welcome(proof: str) -> Welcome:
    service = Service(name="default", address="192.0.2.1:9000")
    return Welcome(proof=proof, instance="x", services=[service], hold=900.0)


# Eavesdropping


def test_nothing_can_be_read_on_the_wire(tunnel):
    recorded: list[bytes] = []
    tunnel.start_remote()
    with Forwarder(
        tunnel.link_port, on_datagram=lambda _, data: recorded.append(data)
    ) as forwarder:
        tunnel.start_origin("--remote", forwarder.address)
        tunnel.wait_for_remote()
        tunnel.wait_for_origin()
        client, server = tunnel.pair()
        client.send(b"a client's own words" * 1000)
        assert len(server.receive(20_000)) == 20_000
        tunnel.reset_connections()
        tunnel.origin.end()
    everything = b"".join(recorded)
    assert len(everything) > 20_000
    for secret in (tunnel.token.secret.encode(), tunnel.token.id.encode(), b"own words", b"hello"):
        assert secret not in everything
