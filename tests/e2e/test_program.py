"""The installed program: its output at the start, its exit codes, and how it keeps secrets."""

from __future__ import annotations

import re
import socket
import stat

from quictunnel.config.certificates import format_pin, load_pair
from quictunnel.config.reset_key import load_or_make_reset_key, load_reset_key
from quictunnel.config.state import load_or_make_certificate, load_token
from quictunnel.config.tokens import Token
from testkit.engines import another_than
from testkit.programs import (
    CERTIFICATE_RENEWED,
    ENGINE_SELECTED,
    ORIGIN_CONNECTED,
    READY_ORIGIN,
    READY_REMOTE,
    RESET_KEY_NOT_SAVED,
    TAKEN_OVER,
    logged,
)
from testkit.tunnel import LOOPBACK

ONE_ENGINE = (
    "test_a_token_is_created_once_and_never_printed",
    "test_a_damaged_reset_key_is_one_sentence",
    "test_a_renewed_certificate_is_used_for_new_connections",
)


def test_both_ends_print_that_they_are_ready(shared_tunnel):
    remote = re.fullmatch(READY_REMOTE, shared_tunnel.remote.stdout.strip())
    assert remote is not None
    assert int(remote[1]) == shared_tunnel.link_port
    # The remote listens for clients on all addresses. The origin names the one that it connects to.
    origin = re.fullmatch(READY_ORIGIN, shared_tunnel.origin.stdout.strip())
    assert origin is not None
    assert origin[1] == f"{LOOPBACK}:{shared_tunnel.outside_port}"
    assert origin[2] == shared_tunnel.server_address


def test_both_ends_log_their_engine(tunnel):
    engine = another_than(tunnel.engines[0])  # an option overrides the environment
    tunnel.up(remote=("--engine", engine, "--congestion", "cubic"), origin=("--engine", engine))
    version = {"aioquic": r"[\d.]+", "quinn": r'"quinn-proto [\d.]+"'}[engine]
    tunnel.remote.wait_for_log(
        logged(ENGINE_SELECTED, engine=engine, version=version, congestion="cubic$")
    )
    tunnel.origin.wait_for_log(
        logged(ENGINE_SELECTED, engine=engine, version=version, congestion="bbr$")
    )


def test_a_wrong_option_is_one_sentence_and_exit_code_2(programs):
    wrong = [
        (programs.quictunnel("remote", "--no-such-thing"), r"--no-such-thing"),
        (programs.quictunnel("remote", "--state-dir", "/dev/null/state"), r"/dev/null/state"),
        (programs.quictunnel("origin", "--remote", "[", "--origin", "1"), r"--remote: .*\["),
    ]
    for program, complaint in wrong:
        assert program.wait() == 2
        assert re.fullmatch(rf"quictunnel.*: .*{complaint}.*\n", program.stderr)
        assert program.stdout == ""


def test_an_address_in_use_is_one_sentence_and_exit_code_2(programs, tmp_path):
    options = ("--listen", f"{LOOPBACK}:0", "--outside", f"{LOOPBACK}:0", "--state-dir", tmp_path)
    with socket.create_server((LOOPBACK, 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind((LOOPBACK, 0))
        tcp_port, udp_port = (sock.getsockname()[1] for sock in (tcp, udp))
        failing = [
            (
                programs.quictunnel("remote", *options, "--outside", f"{LOOPBACK}:{tcp_port}"),
                tcp_port,
            ),
            (
                programs.quictunnel("remote", *options, "--listen", f"{LOOPBACK}:{udp_port}"),
                udp_port,
            ),
        ]
        for program, port in failing:
            assert program.wait() == 2
            *_, sentence = program.stderr.splitlines()
            assert re.match(
                rf"quictunnel: cannot listen on (tcp|udp) {LOOPBACK}:{port}: ", sentence
            )


def test_a_token_is_created_once_and_never_printed(tunnel):
    first = tunnel.start_remote(QUICTUNNEL_TOKEN="")
    tunnel.wait_for_remote()
    tunnel.token = token = load_token(tunnel.state)
    for name in ("token", "server.key", "reset.key"):
        assert stat.S_IMODE((tunnel.state / name).stat().st_mode) == 0o600
    first.end()

    verbose = ("--log-level", "debug", "--log-format", "json")
    again, origin = (
        tunnel.start_remote(*verbose, QUICTUNNEL_TOKEN=""),
        tunnel.start_origin(*verbose),
    )
    tunnel.wait_for_origin()
    assert again.wait_for_log(rf'^{{.*"message": "{ORIGIN_CONNECTED}".*"origin": "box".*}}$')
    assert load_token(tunnel.state) == token
    reset_key = load_reset_key(tunnel.state).hex()
    for program in (first, again, origin):
        program.end()
        assert token.secret not in program.stdout + program.stderr
        assert reset_key not in program.stdout + program.stderr


def test_a_remote_with_token_and_certificate_needs_no_state(tunnel, tmp_path):
    cert, key = load_or_make_certificate(tmp_path / "given")
    file = tmp_path / "a file"
    file.touch()
    tunnel.state = file / "state"
    tunnel.up(remote=("--cert", cert, "--key", key))
    assert tunnel.remote.wait_for_log(rf"WARN .*{RESET_KEY_NOT_SAVED}")


def test_a_damaged_reset_key_is_one_sentence(tunnel):
    load_or_make_reset_key(tunnel.state)
    (tunnel.state / "reset.key").write_text("garbage")
    remote = tunnel.start_remote()
    assert remote.wait() == 2
    *_, sentence = remote.stderr.splitlines()
    assert re.match(r"quictunnel: the reset key '.*reset\.key' is damaged: ", sentence)


def test_a_renewed_certificate_is_used_for_new_connections(tunnel, tmp_path):
    cert, key = load_or_make_certificate(tmp_path / "old")
    renewed = load_or_make_certificate(tmp_path / "new")
    old_pin, new_pin = (format_pin(load_pair(*pair).fingerprint) for pair in ((cert, key), renewed))
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"{Token.new().reveal()}\n{tunnel.token.reveal()} # the laptop\n")
    tunnel.start_remote("--cert", cert, "--key", key, "--token-file", tokens, QUICTUNNEL_TOKEN="")
    tunnel.wait_for_remote()
    tunnel.start_origin("--pin", old_pin)
    tunnel.wait_for_origin()
    first = tunnel.origin
    client, server = tunnel.pair()

    for new, old in zip(renewed, (cert, key), strict=True):
        new.replace(old)
    tunnel.remote.wait_for_log(rf"{CERTIFICATE_RENEWED} .*{new_pin}")
    client.send(b"still here")
    assert server.receive(10) == b"still here"
    tunnel.start_origin("--pin", new_pin, "--take-over")
    tunnel.wait_for_origin()
    assert first.wait() == 3
    assert TAKEN_OVER in first.stderr
    assert tunnel.token.secret not in tunnel.remote.stdout + tunnel.remote.stderr
    assert not (tunnel.state / "token").exists()
