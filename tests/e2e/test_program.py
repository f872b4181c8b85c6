"""The installed program: what it says when it starts, its exit codes, and the secret it keeps."""

from __future__ import annotations

import re
import socket
import stat

from installed_engines import another_than
from tunnels import LOOPBACK, READY_ORIGIN

from quictunnel.config.certificates import format_pin, load_pair
from quictunnel.config.state import (
    load_or_make_certificate,
    load_or_make_reset_key,
    load_reset_key,
    load_token,
)
from quictunnel.config.tokens import Token

ONE_ENGINE = ("test_a_damaged_key_of_resets_is_one_sentence",)


def test_both_ends_say_when_they_are_ready(standing):
    assert standing.remote.stdout == (
        f"ready: origins connect to UDP {LOOPBACK}:{standing.link_port}, "
        f"clients to TCP port {standing.outside_port}\n"
    )
    # Every address of the remote's machine: the origin names the one that it knows.
    assert standing.origin.stdout == (
        f"ready: {LOOPBACK}:{standing.outside_port} at the remote -> {standing.server_address}\n"
    )


def test_both_ends_log_which_engine_they_have(tunnel):
    engine = another_than(tunnel.engines[0])  # an option wins over the environment
    tunnel.up(remote=("--engine", engine, "--congestion", "cubic"), origin=("--engine", engine))
    version = {"aioquic": r"[\d.]+", "quinn": r'"quinn-proto [\d.]+"'}[engine]
    tunnel.remote.logged(
        rf"remote  engine selected  engine={engine} version={version} congestion=cubic$"
    )
    tunnel.origin.logged(
        rf"origin  engine selected  engine={engine} version={version} congestion=bbr$"
    )


def test_what_a_user_gets_wrong_is_one_sentence_and_exit_code_2(programs):
    wrong = [
        (programs.start("remote", "--no-such-thing"), r"--no-such-thing"),
        (programs.start("remote", "--state-dir", "/dev/null/state"), r"/dev/null/state"),
        (programs.start("origin", "--remote", "[", "--origin", "1"), r"--remote: .*\["),
    ]
    for program, complaint in wrong:
        assert program.ends() == 2
        assert re.fullmatch(rf"quictunnel.*: .*{complaint}.*\n", program.stderr)
        assert program.stdout == ""


def test_an_address_in_use_is_one_sentence_and_exit_code_2(programs, tmp_path):
    options = ("--listen", f"{LOOPBACK}:0", "--outside", f"{LOOPBACK}:0", "--state-dir", tmp_path)
    with socket.create_server((LOOPBACK, 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind((LOOPBACK, 0))
        tcp_port, udp_port = (sock.getsockname()[1] for sock in (tcp, udp))
        late = [
            (programs.start("remote", *options, "--outside", f"{LOOPBACK}:{tcp_port}"), tcp_port),
            (programs.start("remote", *options, "--listen", f"{LOOPBACK}:{udp_port}"), udp_port),
        ]
        for program, port in late:
            assert program.ends() == 2
            *_, sentence = program.stderr.splitlines()
            assert re.match(
                rf"quictunnel: cannot listen on (tcp|udp) {LOOPBACK}:{port}: ", sentence
            )


def test_a_token_is_made_at_the_first_start_and_kept_to_oneself(tunnel):
    first = tunnel.start_remote(QUICTUNNEL_TOKEN="")
    tunnel.remote_is_ready()
    tunnel.token = token = load_token(tunnel.state)
    for name in ("token", "server.key", "reset.key"):
        assert stat.S_IMODE((tunnel.state / name).stat().st_mode) == 0o600
    first.end()

    loud = ("--log-level", "debug", "--log-format", "json")
    again, origin = tunnel.start_remote(*loud, QUICTUNNEL_TOKEN=""), tunnel.start_origin(*loud)
    origin.wait_for(READY_ORIGIN)
    assert again.logged(r'^\{.*"message": "origin connected".*"origin": "box".*\}$')
    assert load_token(tunnel.state) == token
    reset_key = load_reset_key(tunnel.state).hex()
    for program in (first, again, origin):
        program.end()
        assert token.secret not in program.stdout + program.stderr
        assert reset_key not in program.stdout + program.stderr


def test_a_remote_that_is_given_all_needs_no_place_for_its_state(tunnel, tmp_path):
    cert, key = load_or_make_certificate(tmp_path / "given")
    nowhere = tmp_path / "a file"
    nowhere.touch()
    tunnel.state = nowhere / "state"
    tunnel.up(remote=("--cert", cert, "--key", key))
    assert tunnel.remote.logged(r"WARN .*reset key not saved, restarts are noticed later")


def test_a_damaged_key_of_resets_is_one_sentence(tunnel):
    load_or_make_reset_key(tunnel.state)
    (tunnel.state / "reset.key").write_text("garbage")
    remote = tunnel.start_remote()
    assert remote.ends() == 2
    *_, sentence = remote.stderr.splitlines()
    assert re.match(r"quictunnel: the reset key '.*reset\.key' is damaged: ", sentence)


def test_a_renewed_certificate_is_shown_from_then_on(tunnel, tmp_path):
    cert, key = load_or_make_certificate(tmp_path / "old")
    renewed = load_or_make_certificate(tmp_path / "new")
    old_pin, new_pin = (format_pin(load_pair(*pair).fingerprint) for pair in ((cert, key), renewed))
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"{Token.new().reveal()}\n{tunnel.token.reveal()} # the laptop\n")
    tunnel.start_remote("--cert", cert, "--key", key, "--token-file", tokens, QUICTUNNEL_TOKEN="")
    tunnel.remote_is_ready()
    tunnel.start_origin("--pin", old_pin).wait_for(READY_ORIGIN)
    first = tunnel.origin
    client, server = tunnel.pair()

    for new, old in zip(renewed, (cert, key), strict=True):
        new.replace(old)
    tunnel.remote.logged(rf"certificate renewed .*{new_pin}")
    client.say(b"still here")
    assert server.hear(10) == b"still here"
    tunnel.start_origin("--pin", new_pin).wait_for(READY_ORIGIN)
    assert first.ends() == 3
    assert "a remote serves one origin at a time" in first.stderr
    assert tunnel.token.secret not in tunnel.remote.stdout + tunnel.remote.stderr
    assert not (tunnel.state / "token").exists()
