"""The output of `quictunnel remote`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from quiet_role import QuietRole
from state_directory import SECRET

from quictunnel.cli.main import invoke
from quictunnel.cli.remote import changed_lines, ready_line, websocket_lines
from quictunnel.config.addresses import parse_network
from quictunnel.config.ports import PortRange
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import load_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.events import Event, LinkDropped, LinkEnding, LinkRecovered, LinkSilent
from quictunnel.protocol.address import Address

TOKEN = f"laptop.{SECRET}"
READY = "ready: origins connect to UDP 127.0.0.1:9001, clients to TCP 127.0.0.1:9000"
HINT = "To see the command for the origin: quictunnel token show --state-dir "


@pytest.fixture
def lines_printed(monkeypatch, capfd):
    """Returns the lines that the command prints for events."""

    def print_events(
        *events: Event,
        words: tuple[str, ...] = ("--token", TOKEN),
        named: Mapping[str, Address] = MappingProxyType({}),
    ) -> list[str]:
        class FakeRemote(QuietRole):
            """A remote that emits these events and then ends."""

            link_address = Address("127.0.0.1", 9001)
            outside_address = Address("127.0.0.1", 9000)
            named_addresses = named
            websocket_url = None

            def __init__(self, *_, emit, **__):
                self._emit = emit

            async def start(self):
                pass

            async def wait_closed(self):
                for event in events:
                    self._emit(event)

            def abort(self):
                pass

        monkeypatch.setattr("quictunnel.cli.remote.Remote", FakeRemote)
        assert invoke(["remote", *words]) == 0
        return capfd.readouterr().out.splitlines()

    return print_events


def test_a_link_that_ends_without_silence_prints_nothing(lines_printed):
    dropped = LinkDropped("box", "t1", "192.0.2.7", "goodbye", None, LinkEnding.GOODBYE, "ab12")
    assert lines_printed(dropped) == [READY]


def test_a_link_lost_after_silence_prints_lost(lines_printed):
    ready, silent, lost = lines_printed(
        LinkSilent("box", "t1", "192.0.2.7", 42.0, 1, 858.0, is_reminder=False, link="ab12"),
        LinkDropped("box", "t1", "192.0.2.7", "nothing heard", 900.0, LinkEnding.LOST, "ab12"),
    )
    assert ready == READY
    assert silent.startswith("silent: link of origin box silent for 42 s")
    assert lost == "lost: origin box after 15m of silence: nothing heard"


def test_a_link_that_returns_prints_back(lines_printed):
    _, back = lines_printed(LinkRecovered("box", "t1", "192.0.2.7", None, 3.0, 1, "ab12"))
    assert back == "back: link of origin box back after 3 s on 192.0.2.7, 1 connection kept"


@pytest.mark.parametrize(
    ("link", "outside", "line"),
    [
        ("::", "0.0.0.0", "ready: origins connect to UDP port 9001, clients to TCP port 9000"),
        ("127.0.0.1", "::1", READY.replace("127.0.0.1:9000", "[::1]:9000")),
    ],
)
def test_only_a_specific_address_is_shown(link, outside, line):
    assert ready_line(Address(link, 9001), Address(outside, 9000)) == line


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("wss://[::]:443/quictunnel", "wss://HOST:443/quictunnel"),
        ("wss://0.0.0.0:8443/tunnel", "wss://HOST:8443/tunnel"),
        ("wss://192.0.2.1:443/quictunnel", "wss://192.0.2.1:443/quictunnel"),
        (
            "ws://127.0.0.1:9003/quictunnel",
            "an HTTP proxy in front of ws://127.0.0.1:9003/quictunnel",
        ),
    ],
)
def test_the_line_about_the_websocket_names_its_url(url, place):
    assert websocket_lines(url) == [f"Origins whose network blocks UDP connect to {place}"]


def test_there_is_no_line_about_a_websocket_without_one():
    assert websocket_lines(None) == []


def test_the_ports_for_origins_are_shown(lines_printed):
    lines = lines_printed(words=("--ports", "2222", "--ports", "3000-3999"))
    assert lines[:2] == [READY, "Origins may ask for these TCP ports: 2222, 3000-3999"]


SHARED = {"tls": Address("::", 443), "http": Address("127.0.0.1", 8080)}
CONNECT = "Clients of host names connect with TLS to TCP port 443, with HTTP to TCP 127.0.0.1:8080"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--hosts", "WWW.example.com", "--hosts", "*.test"),
            "Origins may ask for these host names: www.example.com, *.test",
        ),
        ((), "Origins may ask for no host names yet; allow them with --hosts"),
    ],
)
def test_the_places_of_host_names_are_shown(lines_printed, words, line):
    words = ("--tls", ":443", "--http", "127.0.0.1:8080", *words)
    assert lines_printed(words=words, named=SHARED)[:3] == [READY, CONNECT, line]


def test_the_sockets_of_host_names_are_shown(lines_printed):
    words = ("--sockets", "/run/quictunnel", "--hosts", "a.test")
    assert lines_printed(words=words)[:3] == [
        READY,
        "Caddy finds host names in '/run/quictunnel'",
        "Origins may ask for these host names: a.test",
    ]


def test_the_libraries_for_admin_and_health_checks_are_loaded_only_for_them():
    program = (
        "import sys; import quictunnel.cli.main; "
        "sys.exit(any(name in sys.modules for name in ('starlette', 'uvicorn', 'h11')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_names_that_only_a_token_may_have_are_not_shown(lines_printed, tmp_path):
    config = tmp_path / "remote.toml"
    config.write_text(
        f"tls = 443\n[token.laptop]\nsecret = '{TOKEN.partition('.')[2]}'\nhosts = 'a.test'\n"
    )
    config.chmod(0o600)
    lines = lines_printed(words=("--config", str(config)), named={"tls": Address("::", 443)})
    assert lines == [READY, "Clients of host names connect with TLS to TCP port 443"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hosts = 'a.test'", "{}: hosts needs 'tls', 'http' or 'sockets'"),
        (
            "[token.laptop]\nhosts = 'a.test'",
            "{}: token.laptop.hosts needs 'tls', 'http' or 'sockets'",
        ),
        ("tls = 443\nhosts = 'a b'", "{}: hosts: 'a b' is not a host name; write www.example.com"),
        ("http = 'a:b'", "{}: http: 'b' is not a port from 0 to 65535"),
    ],
)
def test_settings_of_host_names_that_do_not_work(text, sentence, tmp_path, capfd):
    config = tmp_path / "remote.toml"
    config.write_text(text)
    assert invoke(["check", "--role", "remote", str(config)]) == 2
    assert sentence.format(config) in capfd.readouterr().err


def test_the_networks_of_origins_are_shown(lines_printed):
    words = ("--origins-from", "192.0.2.0/24", "--origins-from", "2001:db8::1", "--token", TOKEN)
    networks = "192.0.2.0/24, 2001:db8::1/128"
    assert lines_printed(words=words)[:2] == [
        READY,
        f"Origins may connect from these networks: {networks}",
    ]


def test_a_reload_shows_what_it_has_changed():
    before = RemoteSettings()
    after = RemoteSettings(
        origins_from=(parse_network("192.0.2.0/24"), parse_network("2001:db8::1")),
        ports=(PortRange(80, 80), PortRange(90, 99)),
        hosts=("a.test", "*"),
    )
    assert changed_lines(before, before) == []
    assert changed_lines(before, after) == [
        "Origins may connect from these networks: 192.0.2.0/24, 2001:db8::1/128",
        "Origins may ask for these TCP ports: 80, 90-99",
        "Origins may ask for these host names: a.test, *",
    ]
    assert changed_lines(after, before) == [
        "Origins may connect from every network",
        "Origins may ask for no TCP ports",
        "Origins may ask for no host names",
    ]


def test_an_expired_token_is_a_warning(lines_printed):
    Path("r.toml").touch(mode=0o600)
    Path("r.toml").write_text(f"[token.old]\nsecret = '{SECRET}'\nexpires = 2020-01-01\n")
    lines = lines_printed(words=("--config", "r.toml"))
    assert lines == ["warning: token.old has expired", READY]


def test_a_remote_with_added_tokens_only_names_the_list(lines_printed, tmp_path):
    TokenStore(tmp_path / "state").add(Token.new(), {})
    words = ("--state-dir", str(tmp_path / "state"))
    hint = "To see the tokens of origins: quictunnel token list"
    assert lines_printed(words=words) == [READY, f"{hint} --state-dir {tmp_path / 'state'}"]
    Path("r.toml").write_text("state-dir = 'state'")
    words = ("--config", "r.toml", "--listen", "127.0.0.1:9001")
    assert lines_printed(words=words) == [READY, f"{hint} --config r.toml"]


def test_a_token_that_was_created_is_not_printed_into_a_pipe(lines_printed, tmp_path):
    state = str(tmp_path / "my state")
    assert lines_printed(words=("--state-dir", state)) == [READY, f"{HINT}'{state}'"]
    assert load_token(Path(state))


def test_on_a_terminal_the_first_start_prints_the_command_for_the_origin(
    lines_printed, monkeypatch
):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("HOME", str(Path.cwd()))
    monkeypatch.setenv("XDG_STATE_HOME", str(Path.cwd() / "state"))
    words = ("--listen", "127.0.0.1:9001")
    first = lines_printed(words=words)
    token = load_token(Path("state/quictunnel"))
    assert first == [
        "A token was created. Run this next to your own server:",
        "",
        f"  QUICTUNNEL_TOKEN={token.reveal()} "
        "quictunnel origin --remote 127.0.0.1:9001 --origin localhost:8000",
        "",
        READY,
        HINT.replace("--state-dir ", "--listen 127.0.0.1:9001"),
    ]
    assert lines_printed(words=words) == first[-2:]


@pytest.mark.parametrize(
    ("file", "words", "options"),
    [
        (None, "", ""),
        (None, "--listen 9001", " --listen 9001"),
        (None, "--listen [::1]:0", " --listen '[::1]:9001'"),
        (None, "--state-dir other", " --state-dir other"),
        ("", "", " --config 'my r.toml'"),
        ("listen = 9001\nstate-dir = 'other'", "", " --config 'my r.toml'"),
        ("listen = 0", "", " --config 'my r.toml' --listen 9001"),
        ("listen = 9005", "--listen 9001", " --config 'my r.toml' --listen 9001"),
    ],
)
def test_the_hint_has_the_options_that_the_command_needs(
    lines_printed, monkeypatch, file, words, options
):
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("HOME", str(Path.cwd()))
    monkeypatch.setenv("XDG_STATE_HOME", str(Path.cwd()))
    given = words.split()
    if file is not None:
        Path("my r.toml").write_text(file)
        given += ["--config", "my r.toml"]
    hint = HINT.removesuffix(" --state-dir ")
    assert lines_printed(words=tuple(given)) == [READY, f"{hint}{options}"]


def test_a_file_from_a_pipe_is_not_in_the_hint(lines_printed):
    read_end, write_end = os.pipe()
    os.write(write_end, b"listen = 9001\nstate-dir = '/proc/self/cwd/state'\n")
    os.close(write_end)
    _, hint = lines_printed(words=("--config", f"/dev/fd/{read_end}"))
    os.close(read_end)
    assert hint == f"{HINT}/proc/self/cwd/state --listen 9001"


def test_a_plain_number_is_explained_on_a_terminal(lines_printed, monkeypatch):
    words = ("--token", TOKEN, "--hold", "15", "--grace", "0", "--linger", "2m")
    assert lines_printed(words=words) == [READY]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    note = "note: --hold 15 means 15 seconds; write 15m for minutes"
    assert lines_printed(words=words) == [note, READY]
