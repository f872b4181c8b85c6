"""`quictunnel doctor` names the cause in broken setups, and finds nothing wrong in good ones."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration
from scripted_peers import in_thread
from sites import site

from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from testkit.diagnosis import Diagnosis, diagnose, start_doctor
from testkit.programs import CHECK_FAILED, QUICTUNNEL, free_port, logged
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True

HERE = Path(__file__).parent

HOUR, DAY = 3600, 86_400

WRONG = Token.new()
"""A token that no remote knows."""


@pytest.fixture
def token_file(shared_tunnel, tmp_path):
    """A file with the token of the tunnel that runs."""
    return write_secret(tmp_path / "token", shared_tunnel.token.reveal())


@pytest.fixture
def healthy_server():
    with site("localhost") as server:
        yield f"{LOOPBACK}:{server.server_address[1]}"


def write_secret(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def write_pair(folder: Path, *, name: str = "localhost", age: int = 0, lifetime: int = 90) -> Path:
    """Create a certificate that is so many days old; return the file with it and its key."""
    key = make_key()
    begin = datetime.now(UTC) - timedelta(days=age)
    certificate = make_self_signed([name], key, now=begin, lifetime=timedelta(days=lifetime))
    content = (key_pem(key) + certificate_pem(certificate)).decode()
    return write_secret(folder / f"{name} of {age} days.pem", content)


def remote_options(folder: Path) -> tuple[object, ...]:
    """Return options of a remote that finds everything free."""
    listen, outside = f"{LOOPBACK}:{free_port()}", f"{LOOPBACK}:{free_port()}"
    return "--listen", listen, "--outside", outside, "--state-dir", folder / "state"


# Good setups


def test_a_machine_without_any_setup(programs):
    found = diagnose(programs)
    assert found.exit_code == 0, found
    assert not found.problems + found.warnings, found


def test_a_healthy_origin(shared_tunnel, programs, token_file, healthy_server):
    remote = f"localhost:{shared_tunnel.link_port}"
    found = diagnose(
        programs, "origin", healthy_server, "--remote", remote, "--token-file", token_file
    )
    assert found.exit_code == 0, found
    assert not found.problems, found
    # The remote listens on IPv4 only, and localhost has an IPv6 address, too.
    assert not [each for each in found.warnings if "::1" not in each], found
    for title in ("handshake", "token", "versions", "clocks", "loss and round trip", "path MTU"):
        assert found.confirms(title), found


def test_the_doctor_does_not_disturb_the_origin_that_runs(tunnel, programs):
    tunnel.up()
    client, server = tunnel.pair()
    settings = ("--remote", f"{LOOPBACK}:{tunnel.link_port}", tunnel.server_address)
    token = tunnel.token.reveal()
    found = diagnose(programs, "origin", *settings, "--name", "box", QUICTUNNEL_TOKEN=token)
    assert found.confirms("token"), found
    client.send(b"still here")
    assert server.receive(10) == b"still here"
    tunnel.pair()
    assert "reset" not in tunnel.origin.stderr


def test_a_healthy_remote_that_has_not_started_yet(programs, tmp_path):
    found = diagnose(programs, "remote", *remote_options(tmp_path))
    assert found.exit_code == 0, found
    assert not found.problems + found.warnings, found
    assert not (tmp_path / "state").exists()


def test_a_remote_that_runs(tunnel, programs):
    tunnel.up()
    options = ("--listen", tunnel.listen, "--state-dir", tunnel.state)
    outside = f"[::]:{tunnel.outside_port}"
    found = diagnose(programs, "remote", *options, "--outside", outside)
    assert found.exit_code == 0, found
    assert not found.problems + found.warnings, found


def test_a_configuration_file_names_the_end(programs, tmp_path):
    config = tmp_path / "remote.toml"
    words = remote_options(tmp_path)
    keys = (str(word).removeprefix("--") for word in words[::2])
    lines = (f'{key} = "{value}"\n' for key, value in zip(keys, words[1::2], strict=True))
    config.write_text("".join(lines))
    found = diagnose(programs, "--config", config)
    assert found.confirms("state directory"), found
    assert found.exit_code == 0, found


def test_wrong_usage_is_exit_code_2(programs):
    for words in (("origin", "--no-such-option"), ("--config", "x.toml", "remote")):
        program = start_doctor(programs, *words)
        assert program.wait() == 2
        assert program.stderr.count("\n") == 1


# The remote's address


def test_a_name_that_does_not_exist(programs):
    found = diagnose(programs, "origin", "--remote", "no-such-name.invalid")
    assert found.blames("name of the remote: .* does not resolve"), found


def test_a_remote_that_does_not_run(programs):
    found = diagnose(programs, "origin", "--remote", f"{LOOPBACK}:{free_port()}")
    assert found.blames("UDP to the remote: nobody listens"), found


def test_the_port_for_clients_in_place_of_that_for_origins(tunnel, programs):
    tunnel.up()  # not the shared one: the doctor comes as a client that no test accepts
    found = diagnose(programs, "origin", "--remote", f"{LOOPBACK}:{tunnel.outside_port}")
    assert found.blames("UDP to the remote: a TCP server listens on port"), found
    assert found.advises("the UDP port of the remote"), found


async def test_a_server_of_another_protocol(programs, tmp_path):
    current = CertificateFiles(*load_or_make_certificate(tmp_path)).current
    configuration = QuicConfiguration(alpn_protocols=["h3"], is_client=False)
    configuration.certificate, configuration.private_key = current.leaf, current.key
    server = await serve(LOOPBACK, 0, configuration=configuration)
    port = server._transport.get_extra_info("sockname")[1]
    found = await in_thread(diagnose, programs, "origin", "--remote", f"{LOOPBACK}:{port}")
    server.close()
    assert found.blames("handshake: a QUIC server answers there, but it is not a quic"), found


# Trust


def test_a_wrong_token(shared_tunnel, programs):
    remote = f"{LOOPBACK}:{shared_tunnel.link_port}"
    secret = WRONG.reveal()
    found = diagnose(programs, "origin", "--remote", remote, QUICTUNNEL_TOKEN=secret)
    assert found.blames("token: the remote does not accept this token"), found
    assert found.advises("quictunnel token show"), found


def test_an_expired_token(tunnel, programs, tmp_path):
    secret = write_secret(tmp_path / "secret", tunnel.token.secret)
    config = tmp_path / "remote.toml"
    table = f'[token."{tunnel.token.id}"]\nsecret-file = "{secret}"\nexpires = 2020-01-01\n'
    config.write_text(table)
    tunnel.start_remote("--config", config, QUICTUNNEL_TOKEN="")
    tunnel.wait_for_remote()
    remote = f"{LOOPBACK}:{tunnel.link_port}"
    token = tunnel.token.reveal()
    at_origin = start_doctor(programs, "origin", "--remote", remote, QUICTUNNEL_TOKEN=token)
    listening = ("--listen", tunnel.listen, "--outside", f"{LOOPBACK}:{tunnel.outside_port}")
    at_remote = diagnose(
        programs, "remote", "--config", config, *listening, "--state-dir", tunnel.state
    )
    assert at_remote.warns_of("tokens: the token .* has expired"), at_remote
    found = Diagnosis(at_origin)
    assert found.blames("token: the token has expired"), found


def test_another_certificate_than_the_pinned_one(shared_tunnel, programs):
    remote = f"{LOOPBACK}:{shared_tunnel.link_port}"
    found = diagnose(programs, "origin", "--remote", remote, "--pin", f"sha256:{'0' * 64}")
    assert found.blames("certificate of the remote: .* is not the pinned one"), found


@pytest.mark.parametrize(
    ("certificate", "cause"),
    [
        ({"name": "localhost", "age": 100}, "it was valid until"),
        ({"name": "example.com"}, "it is for example.com, not for localhost"),
    ],
    ids=["expired", "of another name"],
)
def test_a_certificate_that_does_not_verify(tunnel, programs, tmp_path, certificate, cause):
    pair = write_pair(tmp_path, **certificate)
    tunnel.start_remote("--cert", pair, "--key", pair)
    tunnel.wait_for_remote()
    remote = f"localhost:{tunnel.link_port}"
    found = diagnose(programs, "origin", "--remote", remote, "--ca", pair)
    assert found.blames(f"certificate of the remote: .*{cause}"), found


# Clocks and versions


@pytest.mark.parametrize(("ahead", "order"), [(-2 * HOUR, "behind"), (2 * HOUR, "ahead of")])
def test_a_clock_that_is_two_hours_off(shared_tunnel, programs, token_file, ahead, order):
    remote = f"{LOOPBACK}:{shared_tunnel.link_port}"
    shifted = {"PYTHONPATH": str(HERE / "wrong_clock"), "CLOCK_AHEAD": str(ahead)}
    words = ("--remote", remote, "--token-file", token_file)
    found = diagnose(programs, "origin", *words, **shifted)
    assert found.warns_of(f"clocks: this machine's clock is .* {order} the remote's"), found


def test_a_clock_that_is_days_off(shared_tunnel, programs, token_file):
    remote = f"{LOOPBACK}:{shared_tunnel.link_port}"
    shifted = {"PYTHONPATH": str(HERE / "wrong_clock"), "CLOCK_AHEAD": str(40 * DAY)}
    words = ("--remote", remote, "--token-file", token_file)
    found = diagnose(programs, "origin", *words, **shifted)
    assert found.blames("clocks: this machine's clock is .* ahead of the remote's"), found


def test_a_clock_that_is_days_behind_without_a_token(shared_tunnel, programs):
    remote = f"{LOOPBACK}:{shared_tunnel.link_port}"
    shifted = {"PYTHONPATH": str(HERE / "wrong_clock"), "CLOCK_AHEAD": str(-3 * DAY)}
    found = diagnose(programs, "origin", "--remote", remote, **shifted)
    assert found.blames("clocks: the remote's certificate is not valid before"), found


def test_a_clock_without_a_battery(programs):
    shifted = {"PYTHONPATH": str(HERE / "wrong_clock"), "CLOCK_AHEAD": str(-50 * 365 * DAY)}
    found = diagnose(programs, **shifted)
    assert found.blames("clock: the clock shows 19.., which cannot be".replace("..", r"\d\d.*"))


def test_a_remote_of_an_old_version(tunnel, programs):
    tunnel.start_remote(PYTHONPATH=str(HERE / "old_version"))
    tunnel.wait_for_remote()
    remote = f"{LOOPBACK}:{tunnel.link_port}"
    token = tunnel.token.reveal()
    found = diagnose(programs, "origin", "--remote", remote, QUICTUNNEL_TOKEN=token)
    assert found.warns_of("versions: the remote has quictunnel/0.0.9, which is older"), found


# Files


def test_an_expired_certificate(programs, tmp_path):
    pair = write_pair(tmp_path, age=100)
    words = ("--cert", pair, "--key", pair)
    found = diagnose(programs, "remote", *remote_options(tmp_path), *words)
    assert found.blames("certificate: .* has expired at"), found


def test_a_certificate_that_was_not_renewed(programs, tmp_path):
    pair = write_pair(tmp_path, age=85)
    words = ("--cert", pair, "--key", pair)
    found = diagnose(programs, "remote", *remote_options(tmp_path), *words)
    assert found.warns_of("certificate: .* expires at"), found


def test_the_key_of_another_certificate(programs, tmp_path):
    pair, other = write_pair(tmp_path), write_pair(tmp_path, age=1)
    words = ("--cert", pair, "--key", other)
    found = diagnose(programs, "remote", *remote_options(tmp_path), *words)
    assert found.blames("settings: the certificate .* and the key .* do not match"), found


def test_a_state_directory_that_every_user_can_change(programs, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    found = diagnose(programs, "remote", *remote_options(tmp_path))
    assert found.blames("state directory: .* can be changed by every user"), found
    assert found.advises("chmod 700"), found


def test_a_token_file_that_every_user_can_read(programs, tmp_path):
    file = write_secret(tmp_path / "token", WRONG.reveal())
    file.chmod(0o644)
    found = diagnose(programs, "origin", "--token-file", file)
    assert found.warns_of("token and services: other users .* can use the secret in"), found
    assert found.advises("^chmod"), found


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("remote = ", "not TOML"),
        ('remote = "localhost"\n[service.web]\nto = "a:b:c"\n', "service.web"),
        ('remote = "localhost"\nhold = "soon"\n[service.web]\nto = "8000"\nport = 1', "hold"),
        ('remote = "localhost"\n', "no origin server is given"),
        ('[service.web]\nto = "8000"\nport = 2\n', "'remote' is missing"),
    ],
    ids=["no TOML", "service", "value", "no service", "no remote"],
)
def test_an_invalid_configuration_file(programs, tmp_path, text, cause):
    config = tmp_path / "origin.toml"
    config.write_text(text)
    for words in (("--config", config), ("origin", "--config", config)):
        found = diagnose(programs, *words, *(("--role", "origin") if words[0] != "origin" else ()))
        assert found.blames(f"settings: .*origin.toml.*{cause}"), found


# The machine


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_port_that_another_program_has(programs, tmp_path, kind):
    options = [*remote_options(tmp_path)]
    types = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
    program = (
        "import socket, time; s = socket.socket(type=socket.{}); s.bind(('127.0.0.1', {}))\n"
        "if s.type == socket.SOCK_STREAM: s.listen()\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    taken = options[1 if kind == "udp" else 3]
    port = taken.rpartition(":")[2]
    source = program.format(types[kind].name, port)
    script = tmp_path / "squatter.py"
    script.write_text(source)
    other = programs.start("squatter", sys.executable, script)
    other.wait_until_ready()
    found = diagnose(programs, "remote", *options)
    other.kill()
    cause = f"{kind.upper()} port {port} .*another program listens .*process {other.process.pid}"
    assert found.blames(cause), found
    assert "squatter.py" in found.problems[0]


def test_a_machine_without_descriptors(programs):
    limited = ("sh", "-c", 'ulimit -n 70; exec "$@"', "sh")
    found = diagnose(programs, before=limited)
    assert found.blames(r"open files: .*allows only 6 clients"), found
    assert found.advises("LimitNOFILE"), found


def test_an_engine_that_does_not_exist_here(programs, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "quictunnel_quinn.py").write_text("raise ImportError('wrong architecture')")
    found = diagnose(programs, "origin", "--engine", "quinn", PYTHONPATH=str(broken))
    assert found.blames("QUIC engine: no engine works: .*wrong architecture"), found


# The origin server


def test_an_origin_server_that_does_not_run(programs):
    found = diagnose(programs, "origin", f"{LOOPBACK}:{free_port()}")
    assert found.blames("origin server .*: nothing listens there"), found


class HeaderServer:
    """A server that waits for a PROXY protocol header, then answers a request.

    :param start: the beginning of the header.
    """

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._listener = socket.create_server((LOOPBACK, 0))
        self.address = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=self._answer, args=(self._listener.accept()[0],), daemon=True
                ).start()

    def _answer(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\nHEAD" not in data and b"HEAD" not in data:
                if not (more := sock.recv(4096)):
                    return
                data += more
            if data.startswith(self._start):
                sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                sock.recv(4096)


@pytest.mark.parametrize(
    ("version", "start"), [("v2", b"\r\n\r\n\0\r\nQUIT\n"), ("v1", b"PROXY ")], ids=["v2", "v1"]
)
def test_an_origin_server_that_waits_for_a_header(programs, version, start):
    server = HeaderServer(start)
    with contextlib.closing(server):
        without = start_doctor(programs, "origin", server.address)
        with_it = diagnose(programs, "origin", server.address, "--proxy-protocol", version)
        assert not with_it.problems, with_it
        found = Diagnosis(without)
    assert found.blames("origin server .*: it waits for a PROXY protocol header"), found
    assert found.advises(f"--proxy-protocol {version}"), found


def test_an_origin_server_that_expects_no_header(programs, healthy_server):
    found = diagnose(programs, "origin", healthy_server, "--proxy-protocol", "v1")
    assert found.blames("origin server .*: it does not understand the PROXY"), found


def test_an_origin_server_whose_check_fails(programs, tmp_path, healthy_server):
    config = tmp_path / "origin.toml"
    url = f"http://{LOOPBACK}:{free_port()}/healthz"
    config.write_text(
        f'remote = "{LOOPBACK}:{free_port()}"\n'
        f'[service.web]\nto = "{healthy_server}"\nport = 2222\ncheck = "{url}"\n'
    )
    found = diagnose(programs, "--config", config)
    assert any("its health check fails" in each for each in found.problems), found


# The quick checks beside the start of a role


def test_both_ends_log_a_lack_of_descriptors_and_work(tunnel, programs):
    limited = ("sh", "-c", 'ulimit -n 100; exec "$@"', "sh", QUICTUNNEL)
    state = ("--listen", tunnel.listen, "--outside", tunnel.outside, "--state-dir", tunnel.state)
    token = {"QUICTUNNEL_TOKEN": tunnel.token.reveal()}
    remote = programs.start("remote", *limited, "remote", *state, **token)
    remote.wait_until_ready()
    at = ("--remote", tunnel.listen, tunnel.server_address)
    origin = programs.start("origin", *limited, "origin", *at, **token)
    origin.wait_until_ready()
    for program in (remote, origin):
        program.wait_for_log(logged(CHECK_FAILED, check='"open files"', advice=".*LimitNOFILE"))
