"""Who may not come in, and who is not believed: the installed program refuses, in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration
from impostors import LOOPBACK, Middle, a_remote, an_origin, in_thread
from patience import patience
from programs import Program
from tunnels import READY_ORIGIN, Tunnel
from udp_forwarder import Recorder

from quictunnel.config.certificates import CertificateFiles, format_pin
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.protocol.messages import Hello, Service, Welcome
from quictunnel.protocol.preamble import Preamble, encode_v2

MIXED_ENGINES = ("test_an_origin_is_refused_for", "test_the_right_ca_is_enough")
"""The rest meets impostors, who have aioquic in any case, or looks at what each end sends."""

REFUSED = 3

WRONG = Token.new()
"""A token that no remote knows."""


def is_one_line(program, sentence: str) -> bool:
    """Whether the program was refused with this sentence at its end, and nothing worse."""
    assert program.ends() == REFUSED, str(program)
    assert program.stdout == ""
    *_, last = program.stderr.splitlines()
    return re.match(rf"quictunnel: .*{sentence}", last) is not None


# Tokens and certificates

UNWANTED = {
    "a wrong secret": "does not accept this token",
    "an unknown token": "does not accept this token",
    "no token for a pinned remote": "requires a token, .*; give the remote's token with --token",
    "no token and nothing verified": "does not verify: .*; give the remote's token with --token",
    "a wrong pin": "not the pinned one",
    "a wrong CA": "does not verify",
}


@pytest.fixture
def start_unwanted(standing, engines, programs, tmp_path):
    """Starts an origin that the remote refuses, for one of the reasons in UNWANTED."""

    def start(what: str, name: str = "thief") -> Program:
        options, token = unwanted_origin(what, standing, tmp_path / "other")
        return programs.start(
            "origin",
            *("--remote", f"{LOOPBACK}:{standing.link_port}", "--origin", "9", "--name", name),
            *options,
            QUICTUNNEL_TOKEN=token,
            QUICTUNNEL_ENGINE=engines[0],
        )

    return start


def unwanted_origin(what: str, remote: Tunnel, other: Path) -> tuple[tuple[object, ...], str]:
    """Return the options and the token of an origin that this remote refuses."""
    own = remote.state / "server.pem"
    good = remote.token
    match what:
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
    raise ValueError(what)


@pytest.mark.parametrize(("what", "sentence"), UNWANTED.items())
def test_an_origin_is_refused_for(start_unwanted, what, sentence, standing):
    program = start_unwanted(what)
    assert is_one_line(program, sentence)
    for secret in [standing.token.secret, WRONG.secret]:
        assert secret not in program.stderr


def test_failed_proofs_are_counted_and_logged_with_the_address(start_unwanted, standing):
    # Names of their own: the remote is shared, and its log has the failures of other tests.
    names = ["first-guess", "second-guess"]
    origins = [start_unwanted("a wrong secret", name) for name in names]
    assert [origin.ends() for origin in origins] == [REFUSED, REFUSED]
    lines = [
        standing.remote.logged(
            rf"proof failed  origin={name} .*peer={LOOPBACK}:\d+ .*"
            r"failures_from_source=(\d+) failures_total=(\d+)"
        )
        for name in names
    ]
    for group in (1, 2):
        lower, higher = sorted(int(line[group]) for line in lines)
        assert higher == lower + 1


def test_the_right_ca_is_enough(tunnel):
    cert, _ = load_or_make_certificate(tunnel.state)
    tunnel.up(origin=("--ca", cert, "--remote", f"localhost:{tunnel.link_port}"))


# Others than a remote


async def test_a_server_of_another_protocol_is_refused(tunnel, tmp_path):
    cert, key = load_or_make_certificate(tmp_path)
    http = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    http.load_cert_chain(cert, key)
    server = await serve(LOOPBACK, tunnel.link_port, configuration=http)
    try:
        origin = tunnel.start_origin()
        assert await in_thread(is_one_line, origin, "it is not a quictunnel remote")
    finally:
        server.close()


async def test_an_impostor_without_the_token_gets_no_connection(tunnel, tmp_path):
    with patience():
        async with a_remote(tmp_path) as (port, actors):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}")
            impostor = await actors.get()
            await impostor.made.wait()
            # Streams before any proof: a client each, that would be dialled for.
            for _ in range(10):
                client = Preamble(client=None, outside=None, service="default", client_id="0")
                impostor.open().stream.write(encode_v2(client) + b"let me in")
            control = await impostor.came.get()
            hello = await control.hear()
            assert isinstance(hello, Hello)
            # The one proof that it has is the origin's own.
            control.say(a_welcome(hello.proof))
            assert await in_thread(is_one_line, origin, "the remote's proof is wrong")
            assert tunnel.nobody_came()


async def test_a_man_in_the_middle_gets_nowhere(tunnel, tmp_path):
    tunnel.start_remote()
    tunnel.remote_is_ready()
    client = tunnel.client()
    client.say(b"a client's own words")
    middle = Middle()
    with patience():
        async with a_remote(tmp_path) as (port, actors), an_origin(tunnel.link_port) as pretender:
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}")
            victim = await actors.get()
            await victim.made.wait()
            middle.stand_between(victim, pretender)
            assert await in_thread(is_one_line, origin, "does not accept this token")
            middle.go()
    tunnel.remote.logged("proof failed")
    assert b'"hello"' in middle.overheard  # he was there
    assert tunnel.token.secret.encode() not in middle.overheard
    assert b"own words" not in middle.overheard
    assert tunnel.nobody_came()


async def test_a_man_in_the_middle_who_answers_for_the_remote_gets_nowhere_either(tunnel, tmp_path):
    with patience():
        async with a_remote(tmp_path) as (port, actors):
            origin = tunnel.start_origin("--remote", f"{LOOPBACK}:{port}")
            middle = await actors.get()
            control = await middle.came.get()
            await control.hear()
            control.say(a_welcome("00" * 32))
            assert await in_thread(is_one_line, origin, "something in between terminates TLS")
            assert tunnel.nobody_came()


def a_welcome(proof: str) -> Welcome:
    service = Service(name="default", address="192.0.2.1:9000")
    return Welcome(proof=proof, instance="x", services=[service], hold=900.0)


# Listeners


async def test_nothing_can_be_read_on_the_wire(tunnel):
    tunnel.start_remote()
    with patience():
        wire = await Recorder.start(tunnel.link_port)
        await in_thread(tunnel.remote_is_ready)
        tunnel.start_origin("--remote", f"{LOOPBACK}:{wire.port}")
        await in_thread(tunnel.origin.wait_for, READY_ORIGIN)
        client, server = await in_thread(tunnel.pair)
        client.say(b"a client's own words" * 1000)
        assert len(await in_thread(server.hear, 20_000)) == 20_000
        tunnel.part()
        await in_thread(tunnel.origin.end)
        wire.close()
    everything = b"".join(wire.to_target + wire.from_target)
    assert len(everything) > 20_000
    for secret in (tunnel.token.secret.encode(), tunnel.token.id.encode(), b"own words", b"hello"):
        assert secret not in everything
