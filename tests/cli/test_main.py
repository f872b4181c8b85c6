"""The program's options and exit codes: one sentence for what a user can do wrong."""

from __future__ import annotations

import errno
import signal
import socket
import sys

import pytest
import typer
from state_directory import SECRET

from quictunnel import __version__
from quictunnel.cli import main
from quictunnel.cli.main import invoke
from quictunnel.cli.role_runner import SIGNALS
from quictunnel.errors import LinkFailed, QuictunnelError, Refused, SettingsError
from quictunnel.protocol.codes import Code
from quictunnel.quic.engines import selection
from quictunnel.quic.engines.selection import EngineKind

TOKEN = f"laptop.{SECRET}"


def options():
    """Every option of every command, as (command, option)."""

    def walk(path, command):
        for parameter in command.params:
            yield path, parameter
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(f"{path} {name}", below)

    return list(walk("quictunnel", typer.main.get_command(main.app)))


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(capsys, monkeypatch, option):
    found = {
        "quinn": EngineKind("quinn", "quinn-proto 0.11.9", None, None),
        "aioquic": EngineKind("aioquic", "1.7.2", None, None),
    }
    monkeypatch.setattr(main, "installed", lambda: found)
    assert invoke([option]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"quictunnel {__version__}"
    assert others == ["engine quinn: quinn-proto 0.11.9, used by default", "engine aioquic: 1.7.2"]


def test_version_says_why_an_engine_is_not_taken(capsys, monkeypatch):
    found = {
        "quinn": SettingsError("the quinn engine does not work: \x1b"),
        "aioquic": EngineKind("aioquic", "1.7.2", None, None),
    }
    monkeypatch.setattr(main, "installed", lambda: found)
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "the quinn engine does not work: \\x1b",
        "engine aioquic: 1.7.2, used by default",
    ]


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        ([], "quictunnel [OPTIONS] COMMAND"),
        (["--help"], "quictunnel [OPTIONS] COMMAND"),
        (["help"], "quictunnel [OPTIONS] COMMAND"),
        (["remote", "-h"], "quictunnel remote"),
        (["origin", "--help"], "quictunnel origin"),
        (["help", "origin"], "quictunnel origin"),
        (["help", "check"], "quictunnel check"),
        (["help", "token", "show"], "quictunnel token show"),
    ],
)
def test_help_is_no_failure(arguments, usage, capsys):
    assert invoke(arguments) == 0
    out, err = capsys.readouterr()
    assert f"Usage: {usage}" in out
    assert "<bool>" not in out
    assert not err


@pytest.mark.parametrize(
    "command",
    ["remote", "origin", "demo", "check", "cert", "config show"]
    + ["status", "top", "clients", "events", "probe"]
    + [f"token {name}" for name in ("new", "list", "show", "revoke")],
)
def test_help_begins_with_two_examples(command, capsys):
    invoke([*command.split(), "--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    examples = lines.index("Examples:")
    assert all(line.startswith(f"quictunnel {command}") for line in lines[examples + 1 :][:2])
    assert examples < lines.index(next(line for line in lines if "Options" in line))


def test_help_leaves_the_wrapping_to_the_terminal():
    top = typer.main.get_command(main.app)
    below = [top.commands[group].commands.values() for group in ("token", "config")]
    for command in [top, *top.commands.values(), *below[0], *below[1]]:
        prose = [text for text in command.help.split("\n\n") if not text.startswith("Examples:")]
        assert not any("\n" in text for text in prose)


def test_help_that_cannot_be_written_is_a_sentence(capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert invoke(["remote", "--help"]) == 1
    assert capsys.readouterr().err == "quictunnel: no space left on device\n"


def test_every_option_has_help_and_an_environment_variable():
    for path, option in options():
        if option.name in ("help", "version") or option.param_type_name == "argument":
            continue
        assert option.help, (path, option.name)
        assert option.envvar.startswith("QUICTUNNEL_"), (path, option.name)


REMOTE_OPTIONS = """
    config listen origins-from websocket websocket-path outside cert key token token-file
    accept-proxy-protocol trusted-proxy hold linger client-keepalive client-wait grace state-dir
    unread-limit engine congestion log-format log-level
"""
ORIGIN_OPTIONS = """
    config remote origin token token-file name ca pin proxy-protocol hold grace unread-limit
    engine congestion log-format log-level
"""


@pytest.mark.parametrize(
    ("command", "expected"), [("remote", REMOTE_OPTIONS), ("origin", ORIGIN_OPTIONS)]
)
def test_the_roles_have_the_options_that_are_documented(command, expected):
    names = {name for path, option in options() if path.endswith(command) for name in option.opts}
    assert {f"--{name}" for name in expected.split()} <= names


ORIGIN = ["origin", "--remote", "localhost:1", "--origin", "8000"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["help", "bogus"], "No such command 'bogus'"),
        (["token"], "Missing command"),
        (["remote", "--bogus"], "No such option: --bogus"),
        (["remote", "--listen"], "requires an argument"),
        (
            ["remote", TOKEN],
            "quictunnel remote: 1 argument too many; a value with spaces needs quotes (see",
        ),
        (
            [*ORIGIN, "--token", *f"# The token.\n{TOKEN}".split()],
            "quictunnel origin: 2 arguments too many; a value with spaces needs quotes (see",
        ),
        (["token", "show", "laptop", TOKEN], "quictunnel token show: 1 argument too many; a"),
        (["remote", "--log-format", "xml"], "'xml' is not one of 'text', 'json'"),
        (["remote", "--listen", "a b:1"], "--listen: 'a b' is neither a host name"),
        (["remote", "--outside", "::1:9"], "--outside: "),
        (["remote", "--hold", "soon"], "--hold: 'soon' is not a duration"),
        (["remote", "--hold", "1ms"], "--hold: must be between"),
        (["remote", "--unread-limit", "much"], "--unread-limit: 'much' is not a size"),
        (["remote", "--origins-from", "home"], "--origins-from: 'home' is not a network"),
        (["remote", "--trusted-proxy", "office"], "--trusted-proxy: 'office' is not a network"),
        (
            ["remote", "--trusted-proxy", "10.0.0.0/8"],
            "--trusted-proxy needs --accept-proxy-protocol or --websocket",
        ),
        (["remote", "--websocket", "vps"], "--websocket: 'vps' has no port; write HOST:PORT"),
        (["remote", "--websocket-path", "/x"], "--websocket-path needs --websocket"),
        (
            ["remote", "--websocket", ":443", "--websocket-path", "x"],
            "--websocket-path: 'x' is not a path; write a slash and then",
        ),
        (["remote", "--token", "SECRET"], "--token: a token is written id.secret"),
        (["remote", "--token", TOKEN, "--token", TOKEN], "two tokens have the id laptop"),
        (["remote", "--token-file", "none"], "'none' cannot be read: no such file"),
        (["remote", "--token-file", "."], "cannot be read: is a directory"),
        (["remote", "--cert", "none"], "--cert without --key"),
        (["remote", "--cert", "none", "--key", "none"], "'none' cannot be read: no such file"),
        (["remote", "--cert", "garbage", "--key", "garbage"], "no valid certificate in PEM"),
        (["remote", "--state-dir", "garbage/state"], "not a directory"),
        (["remote", "--engine", "msquic"], "'msquic' is not one of 'auto', 'aioquic', 'quinn'"),
        (["remote", "--congestion", "vegas"], "'vegas' is not one of 'bbr', 'cubic', 'reno'"),
        (["origin", "--origin", "8000"], "Missing option '--remote'"),
        (["origin", "--remote", "vps"], "no origin server is given; add its address"),
        (
            ["origin", "9", "--remote", "vps", "--origin", "8"],
            "two services lead to the outside address",
        ),
        ([*ORIGIN, "--name", "Büro"], "'Büro' is not a name"),
        ([*ORIGIN, "--pin", "sha256:12"], "--pin: 'sha256:12' is not a pin"),
        ([*ORIGIN, "--ca", "garbage"], "the CA file 'garbage' contains no valid certificate"),
        ([*ORIGIN, "--token", TOKEN, "--token-file", "tokens"], "an origin has one token"),
        ([*ORIGIN, "--token-file", "tokens"], "--token-file has 2 tokens"),
        ([*ORIGIN, "--proxy-protocol", "v3"], "is not one of 'off', 'v1', 'v2'"),
        (["cert", "--out", "o", "--name", "two words"], "'two words' is neither a host name"),
        (["cert", "--out-dir", "garbage"], "'garbage' cannot be created: file exists"),
        (["token", "show"], "there is no token in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_users_mistake_is_one_sentence_and_exit_2(arguments, sentence, tmp_path, capsys):
    (tmp_path / "garbage").write_bytes(b"\xffgarbage")
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{TOKEN}\nother.{'s' * 30}\n")
    assert invoke(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert sentence in err
    assert err.startswith("quictunnel")
    assert err.count("\n") == 1
    assert "SECRET" not in err


@pytest.mark.parametrize("command", ["remote", "origin", "demo"])
def test_an_engine_that_is_not_installed(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "quictunnel_quinn", None)
    selection._load.cache_clear()  # other tests may have found it
    words = {"origin": ORIGIN, "remote": ["remote", "--listen", "127.0.0.1:0"]}
    arguments = [*words.get(command, [command]), "--engine", "quinn"]
    if command != "demo":
        arguments += ["--log-level", "error"]
    assert invoke(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("quictunnel: the quinn engine is not installed")
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_port_in_use(kind, capsys):
    with socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    ) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "tcp":
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listen, outside = ("127.0.0.1:0", address) if kind == "tcp" else (address, "127.0.0.1:0")
        arguments = ["--listen", listen, "--outside", outside, "--log-level", "error"]
        assert invoke(["remote", *arguments]) == 2
    err = capsys.readouterr().err
    assert address in err
    assert err.count("\n") == 1


def test_an_option_may_come_from_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("QUICTUNNEL_HOLD", "soon")
    assert invoke(["remote"]) == 2
    assert "--hold: 'soon'" in capsys.readouterr().err


def test_an_empty_environment_variable_counts_as_none(monkeypatch, capsys):
    for name in ("HOLD", "TOKEN", "TOKEN_FILE", "CA", "PIN", "NAME", "ENGINE", "CONGESTION"):
        monkeypatch.setenv(f"QUICTUNNEL_{name}", "")
    assert invoke([*ORIGIN, "--grace", "soon"]) == 2
    assert "--grace" in capsys.readouterr().err


def test_tokens_in_the_environment_stand_apart_by_spaces(monkeypatch, capsys):
    monkeypatch.setenv("QUICTUNNEL_TOKEN", f"{TOKEN} {TOKEN}")
    assert invoke(["remote"]) == 2
    assert "two tokens have the id laptop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("no"), 2),
        (Refused(Code.BAD_TOKEN, "no"), 3),
        (LinkFailed("no"), 1),
        (QuictunnelError("no"), 1),
    ],
)
def test_exit_codes(error, code, monkeypatch, capsys):
    def fail(**_):
        raise error

    monkeypatch.setattr(main, "app", fail)
    assert invoke(["x"]) == code
    assert capsys.readouterr().err == "quictunnel: no\n"


def test_what_a_peer_said_is_escaped_on_the_terminal(monkeypatch, capsys):
    def fail(**_):
        raise Refused(Code.BAD_TOKEN, "go\x1b[2J away\n\nnow")

    monkeypatch.setattr(main, "app", fail)
    assert invoke(["x"]) == 3
    assert capsys.readouterr().err == "quictunnel: go\\x1b[2J away now\n"


def test_a_reader_that_is_gone_is_no_failure(monkeypatch):
    class Gone:
        def write(self, _):
            raise BrokenPipeError(errno.EPIPE, "gone")

    monkeypatch.setattr("sys.stdout", Gone())
    assert invoke(["token", "new"]) == 0


def test_a_signal_that_comes_once_all_is_over_does_not_change_how_it_ended(monkeypatch):
    before = [signal.getsignal(number) for number in SIGNALS]
    monkeypatch.setattr(main, "invoke", lambda _: 3)
    monkeypatch.setattr(main, "open_missing_streams", lambda: None)
    try:
        with pytest.raises(SystemExit) as ended:
            main.main()
        for number in SIGNALS:
            signal.raise_signal(number)
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    assert ended.value.code == 3
