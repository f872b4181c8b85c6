"""`--config`: precedence, kinds of option, services, and errors that name the file's key."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from state_directory import SECRET

from quictunnel.cli.config_option import keys_of
from quictunnel.cli.main import app, invoke
from quictunnel.config.addresses import HostPort, parse_network
from quictunnel.config.ports import PortRange
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.toml import ORIGIN_KEYS, REMOTE_KEYS

TOKEN = f"laptop.{SECRET}"
ORIGIN = 'remote = "vps"\norigin = 8000\n'


@pytest.fixture
def write():
    """Writes a file in the current folder that only its owner can read."""

    def write(name: str, *lines: str) -> str:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text("\n".join(lines))
        return name

    return write


@pytest.fixture
def settings_of(monkeypatch):
    """Returns the settings with which a command would run."""
    seen = []
    for role in ("origin", "remote"):
        monkeypatch.setattr(
            f"quictunnel.cli.{role}._run", lambda settings, *_, **__: seen.append(settings)
        )

    def run(*words):
        assert invoke([*words]) == 0
        return seen.pop()

    return run


@pytest.fixture
def error_of(capsys):
    """Returns the only line that a command prints, which ends with exit code 2."""

    def run(*words):
        assert invoke([*words]) == 2
        out, err = capsys.readouterr()
        assert not out
        assert err.count("\n") == 1
        assert "SECRET" not in err
        return err

    return run


def test_precedence(write, settings_of, monkeypatch):
    words = ["remote"]
    assert settings_of(*words).hold == 900
    words += ["--config", write("remote.toml", "hold = '2m'")]
    assert settings_of(*words).hold == 120
    monkeypatch.setenv("QUICTUNNEL_HOLD", "3m")
    assert settings_of(*words).hold == 180
    assert settings_of(*words, "--hold", "4m").hold == 240


def test_the_order_of_options_does_not_matter(write, settings_of):
    config = write("remote.toml", "hold = '2m'\ngrace = 1")
    settings = settings_of("remote", "--hold", "4m", "--config", config)
    assert (settings.hold, settings.grace) == (240, 1)


def test_the_file_may_come_from_the_environment(write, settings_of, monkeypatch):
    monkeypatch.setenv("QUICTUNNEL_CONFIG", write("remote.toml", "hold = '2m'"))
    assert settings_of("remote").hold == 120


@pytest.mark.parametrize(
    "line", ["ports = 2222", "ports = '2222'", "ports = [2222]", "ports = ['2222']"]
)
def test_a_list_option_takes_one_or_several_values(write, settings_of, line):
    config = write("remote.toml", line)
    assert settings_of("remote", "--config", config).ports == (PortRange(2222, 2222),)


def test_a_list_on_the_command_line_or_in_the_environment_replaces_the_files(
    write, settings_of, monkeypatch
):
    words = ("remote", "--config", write("remote.toml", "ports = [1, 2]"))
    assert settings_of(*words, "--ports", "3").ports == (PortRange(3, 3),)
    monkeypatch.setenv("QUICTUNNEL_PORTS", "4 5-6")
    assert settings_of(*words).ports == (PortRange(4, 4), PortRange(5, 6))
    words = ("remote", "--config", write("r.toml", "origins-from = '192.0.2.0/24'"))
    assert settings_of(*words).origins_from == (parse_network("192.0.2.0/24"),)
    monkeypatch.setenv("QUICTUNNEL_ORIGINS_FROM", "10.0.0.0/8 2001:db8::/32")
    expected = parse_network("10.0.0.0/8"), parse_network("2001:db8::/32")
    assert settings_of(*words).origins_from == expected


def test_a_flag(write, settings_of, monkeypatch):
    on = write("on.toml", "accept-proxy-protocol = true\ntrusted-proxy = '10.0.0.0/8'")
    assert settings_of("remote", "--config", on).accept_proxy_protocol
    off = write("off.toml", "accept-proxy-protocol = false")
    assert not settings_of("remote", "--config", off).accept_proxy_protocol
    assert settings_of("remote", "--config", off, "--accept-proxy-protocol").accept_proxy_protocol
    monkeypatch.setenv("QUICTUNNEL_ACCEPT_PROXY_PROTOCOL", "0")
    on = write("on.toml", "accept-proxy-protocol = true")
    assert not settings_of("remote", "--config", on).accept_proxy_protocol


def test_every_kind_of_option(write, settings_of):
    write("tokens", TOKEN)
    config = write(
        "origin.toml",
        "remote = 'vps:9'\norigin = ['8000', '2222=22']\ntoken-file = 'tokens'\nname = 'box'",
        "engine = 'aioquic'\ncongestion = 'cubic'\nunread-limit = '2MiB'\nlinger = 5",
        "proxy-protocol = 'v1'\nlog-level = 'error'\nlog-format = 'json'",
    )
    settings = settings_of("origin", "--config", config)
    assert settings.remote == HostPort("vps", 9)
    assert [service.target.port for service in settings.services] == [8000, 22]
    assert {service.proxy_protocol for service in settings.services} == {"v1"}
    assert settings.token.reveal() == TOKEN
    assert (settings.name, settings.engine, settings.congestion) == ("box", "aioquic", "cubic")
    assert (settings.unread_limit, settings.linger) == (2 * 1024**2, 5)


def test_numbers_where_text_is_a_number(write, settings_of):
    settings = settings_of("remote", "--config", write("r.toml", "outside = 443\nhold = 15"))
    assert (settings.outside.port, settings.hold) == (443, 15)


@pytest.fixture
def pair():
    """A certificate and its key below the folder `etc`."""
    Path("etc").mkdir()
    key = make_key()
    Path("etc/cert.pem").write_bytes(certificate_pem(make_self_signed(["localhost"], key)))
    Path("etc/key.pem").touch(mode=0o600)
    Path("etc/key.pem").write_bytes(key_pem(key))


def test_relative_paths_start_at_the_files_folder(write, settings_of, pair, monkeypatch):
    write("etc/token", TOKEN)
    config = write(
        "etc/remote.toml",
        "token-file = 'token'\ncert = 'cert.pem'\nkey = 'key.pem'\nstate-dir = '../state'",
    )
    settings = settings_of("remote", "--config", config)
    assert settings.tokens[0].reveal() == TOKEN
    assert (settings.cert, settings.key) == (Path("etc/cert.pem"), Path("etc/key.pem"))
    assert settings.state_dir == Path("etc/../state")
    # Paths of the command line and of the environment start at the working directory.
    write("token", "other." + "x" * 30)
    monkeypatch.setenv("QUICTUNNEL_TOKEN_FILE", "token")
    assert settings_of("remote", "--config", config).tokens[0].id == "other"


def test_services_of_the_file_are_added_to_those_of_the_command_line(write, settings_of):
    config = write(
        "origin.toml",
        "remote = 'vps'\nproxy-protocol = 'v1'",
        "[service.ssh]\nto = 'localhost:22'\nport = 2222\nproxy-protocol = 'off'",
        "[service.web]\nto = 80\nport = 'auto'",
    )
    settings = settings_of("origin", "8000", "--origin", "9=9", "--config", config)
    assert [(s.name, s.where, s.proxy_protocol) for s in settings.services] == [
        ("default", "the outside address", "v1"),
        ("9", "port 9", "v1"),
        ("ssh", "port 2222", "off"),
        ("web", "a free port", "v1"),
    ]
    settings = settings_of("origin", "--proxy-protocol", "v2", "--config", config)
    assert [service.proxy_protocol for service in settings.services] == ["off", "v2"]


def test_services_are_shared_as_options_and_the_file_say(write, settings_of):
    config = write(
        "origin.toml",
        "remote = 'vps'\nshare = 'balance'",
        "[service.ssh]\nto = 22\nport = 22\nshare = 'failover'",
        "[service.web]\nto = 80\nport = 80",
    )
    settings = settings_of("origin", "8000", "--sticky", "--config", config)
    assert [(s.name, s.share, s.sticky) for s in settings.services] == [
        ("default", "balance", True),
        ("ssh", "failover", False),
        ("web", "balance", True),
    ]


def test_the_service_at_the_outside_address_needs_no_port(write, settings_of):
    config = write("origin.toml", "remote = 'vps'\n[service.web]\nto = 'localhost:80'")
    (service,) = settings_of("origin", "--config", config).services
    assert (service.name, service.server) == ("default", "localhost:80")


def test_a_token_in_a_file_that_others_can_read_is_a_warning(write, settings_of, capsys):
    config = write("origin.toml", f"{ORIGIN}token = '{TOKEN}'")
    assert settings_of("origin", "--config", config).token.reveal() == TOKEN
    assert "secret readable" not in capsys.readouterr().err
    Path(config).chmod(0o644)
    settings_of("origin", "--config", config)
    assert "secret readable by other users  file=origin.toml mode=0644" in capsys.readouterr().err
    Path(write("plain.toml", ORIGIN)).chmod(0o644)
    settings_of("origin", "--config", "plain.toml")
    assert "secret readable" not in capsys.readouterr().err


def test_log_options_of_the_file(write, settings_of, capsys):
    config = write("origin.toml", f"{ORIGIN}token = '{TOKEN}'\nlog-format = 'json'")
    Path(config).chmod(0o644)
    settings_of("origin", "--config", config)
    assert capsys.readouterr().err.startswith("{")


@pytest.mark.parametrize(
    ("command", "lines", "sentence"),
    [
        ("remote", ["hold = 'soon'"], "c.toml: hold: 'soon' is not a duration"),
        ("remote", ["hold = '8d'"], "c.toml: hold: must be between 1s and 7d, not 8d"),
        ("remote", ["outside = 70000"], "c.toml: outside: '70000' is not a port"),
        ("remote", ["ports = ['1', 'x']"], "c.toml: ports: 'x' is not a port"),
        ("remote", ["engine = 'msquic'"], "c.toml: engine: 'msquic' is not one of 'auto', "),
        ("remote", ["log-level = 7"], "c.toml: log-level: '7' is not one of 'debug', "),
        ("remote", ["tokenfile = 'x'"], "c.toml: unknown key 'tokenfile'; did you mean 'token-"),
        ("remote", ["config = 'x'"], "c.toml: unknown key 'config'; "),
        ("remote", ["help = true"], "c.toml: unknown key 'help'; "),
        ("remote", ["remote = 'vps'"], "c.toml: unknown key 'remote'; "),
        ("remote", ["[service.web]"], "c.toml: unknown key 'service': services belong in the"),
        ("remote", ["hold = {}"], "c.toml: hold: expected a string or a whole number, found a tab"),
        ("remote", ["hold ="], "c.toml: not TOML: invalid value (at "),
        ("remote", ["token = 'SECRET'"], "c.toml: token: a token is written id.secret"),
        ("remote", [f"token = ['{TOKEN}', '{TOKEN}']"], "c.toml: two tokens have the id laptop"),
        ("remote", ["token-file = 'x'"], "c.toml: token-file: the token file 'x' cannot be read"),
        ("remote", ["cert = 'x'"], "c.toml: --cert without --key"),
        ("remote", ["cert = 'x'", "key = 'x'"], "c.toml: the certificate 'x' cannot be read"),
        (
            "remote",
            ["trusted-proxy = '10.0.0.0/8'"],
            "c.toml: trusted-proxy needs 'accept-proxy-protocol' or 'websocket'",
        ),
        (
            "remote",
            ["websocket-path = '/tunnel'"],
            "c.toml: websocket-path needs 'websocket'",
        ),
        ("origin", ["origin = 8000"], "c.toml: 'remote' is missing"),
        ("origin", ["target = 8000"], "c.toml: unknown key 'target'; "),
        ("origin", ["remote = 'a b'"], "c.toml: remote: 'a b' is neither a host name nor"),
        ("origin", ["remote = 'vps'"], "c.toml: no origin server is given; "),
        ("origin", ["remote = 'vps'", "origin = 'nas'"], "c.toml: origin: 'nas' has no port"),
        ("origin", [ORIGIN, "ca = 'x'"], "c.toml: the CA file 'x' cannot be read"),
        ("origin", [ORIGIN, "pin = 'x'"], "c.toml: pin: 'x' is not a pin"),
        ("origin", [ORIGIN, "[service.web]"], "c.toml: service.web: 'to' is missing"),
    ],
)
def test_a_mistake_in_a_file(write, error_of, command, lines, sentence):
    error = error_of(command, "--config", write("c.toml", *lines))
    assert error.startswith("quictunnel")
    assert error.partition(": ")[2].startswith(sentence)


def test_a_mistake_that_may_be_on_the_command_line(write, error_of):
    config = write("c.toml", "grace = 1")
    error = error_of("remote", "--config", config, "--hold", "8d")
    assert error.startswith("quictunnel: --hold: must be between")
    error = error_of("remote", "--config", config, "--hold", "soon")
    assert error.startswith("quictunnel: --hold: 'soon' is not a duration")
    error = error_of("remote", "--config", config, "--engine", "x")
    assert error.startswith("quictunnel remote: Invalid value for '--engine' (")


@pytest.mark.parametrize("words", [("8000",), ("--origin", "8000")])
def test_the_command_line_and_the_file_collide(write, error_of, words):
    config = write("c.toml", "remote = 'vps'\n[service.web]\nto = 80")
    assert error_of("origin", *words, "--config", config) == (
        "quictunnel: --origin and c.toml together: two services lead to the outside address; "
        "give each its own port\n"
    )
    config = write("c.toml", "remote = 'vps'\n[service.9]\nto = 80\nport = 8")
    assert "two services have the name '9'; rename" in error_of("origin", "9=9", "--config", config)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "the configuration file 'c.toml' cannot be read: no such file or directory"),
        (b"\xff\xfe", "the configuration file 'c.toml' is not a text file"),
        (b"#" * (1 << 20 | 1), "the configuration file 'c.toml' is larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read(error_of, content, sentence):
    if content is not None:
        Path("c.toml").write_bytes(content)
    assert sentence in error_of("remote", "--config", "c.toml")


def test_a_directory(error_of):
    assert "'.' cannot be read: is a directory" in error_of("remote", "--config", ".")


def test_a_plain_number_in_a_file_is_explained_on_a_terminal(
    write, settings_of, monkeypatch, capsys
):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    settings_of("remote", "--config", write("c.toml", "hold = 15"))
    note = "note: c.toml: hold 15 means 15 seconds; write 15m for minutes\n"
    assert capsys.readouterr().out == note


def test_help_does_not_read_the_file(capsys):
    assert invoke(["remote", "--help", "--config", "none"]) == 0
    assert "Usage: quictunnel remote" in capsys.readouterr().out


def test_the_keys_that_only_one_role_has():
    commands = typer.main.get_command(app).commands
    remotes, origins = (set(keys_of(commands[role])) for role in ("remote", "origin"))
    assert remotes - origins == REMOTE_KEYS
    assert origins - remotes == ORIGIN_KEYS
