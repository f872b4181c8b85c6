"""`quictunnel config show`."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from state_directory import CONFIG, SECRET, STATE, add, write

from quictunnel.config.settings import machine_name

REMOTE = f"""
listen = 9005
hold = "1h"
ports = [2222, "3000-3999"]
accept-proxy-protocol = true

[token.laptop]
secret = "{SECRET}"
expires = 2020-01-31
ports = 2222

[policy."2222"]
allow = "10.0.0.0/8"
max-clients = 5
"""

ORIGIN = f"""
remote = "vps"
token = "laptop.{SECRET}"

[service.web]
to = 80
proxy-protocol = "v2"

[service."a.b"]
to = "localhost:22"
port = 2222
"""


@pytest.fixture
def show(run):
    """Returns what the command prints for a file: as text, and as TOML."""

    def show(file: str, *words: str) -> tuple[str, dict]:
        text = "\n".join(run("config", "show", file, *words))
        assert SECRET not in text
        return text, tomllib.loads(text)

    return show


def test_a_remote_with_a_websocket(show):
    text, content = show(write("r.toml", "websocket = ':443'\n"))
    assert re.search(r'^websocket-path = "/quictunnel" +# default$', text, re.MULTILINE)
    assert content["trusted-proxy"] == ["127.0.0.0/8", "::1/128"]


def test_a_remote(show, monkeypatch):
    monkeypatch.setenv("QUICTUNNEL_GRACE", "5s")
    text, content = show(write("r.toml", REMOTE))
    assert text.startswith("# quictunnel remote --config r.toml\n")
    for pattern in (
        r"listen = 9005 +# file",
        r'ports = \["2222", "3000-3999"\] +# file',
        r'outside = "\[::\]:9000" +# default',
        r'grace = "5s" +# environment: QUICTUNNEL_GRACE',
        r"accept-proxy-protocol = true +# file",
        r'trusted-proxy = \["127.0.0.0/8", "::1/128"\] +# default',
        r'congestion = "bbr" +# default',
        r"# origins-from is not set: every network",
        r"# cert is not set",
        r"# log-level is not set: warning on a terminal, info elsewhere",
    ):
        assert re.search(rf"^{pattern}$", text, re.MULTILINE), pattern
    assert content["state-dir"] == str(STATE.absolute())
    assert content["token"] == {
        "laptop": {"secret": "********", "expires": date(2020, 1, 31), "ports": ["2222"]}
    }
    assert content["policy"] == {"2222": {"allow": ["10.0.0.0/8"], "max-clients": 5}}
    assert "# warning: token.laptop has expired" in text


def test_an_origin(show):
    text, content = show(write("o.toml", ORIGIN))
    assert text.startswith("# quictunnel origin --config o.toml\n")
    assert content["token"] == "laptop.********"
    assert content["name"] == machine_name()
    assert content["service"] == {
        "web": {"to": 80, "proxy-protocol": "v2"},
        "a.b": {"to": "localhost:22", "port": 2222},
    }


def test_the_websocket_and_the_proxy_of_an_origin(show, monkeypatch):
    file = write("o.toml", ORIGIN)
    text, content = show(file)
    assert content["websocket"] == "wss://vps/quictunnel"
    assert "# proxy is not set" in text
    monkeypatch.setenv("HTTPS_PROXY", f"http://anna:{SECRET}@proxy.example:3128")
    text, content = show(file)
    assert content["proxy"] == "http://********@proxy.example:3128"
    assert "# environment: HTTPS_PROXY" in text
    monkeypatch.setenv("QUICTUNNEL_PROXY", f"socks5h://anna:{SECRET}@other")
    text, content = show(file)
    assert content["proxy"] == "socks5h://********@other:1080"
    assert "# environment: QUICTUNNEL_PROXY" in text
    _, content = show(write("o.toml", f'proxy = "none"\nvia = "websocket"\n{ORIGIN}'))
    assert content["proxy"] == "socks5h://********@other:1080"
    monkeypatch.delenv("QUICTUNNEL_PROXY")
    _, content = show("o.toml")
    assert (content["proxy"], content["via"]) == ("none", "websocket")
    text, content = show(write("o.toml", f'via = "udp"\n{ORIGIN}'))
    assert {"proxy", "websocket"}.isdisjoint(content)


@pytest.mark.parametrize(("file", "content"), [("r.toml", REMOTE), ("o.toml", ORIGIN)])
def test_the_output_is_a_valid_file_that_shows_the_same(show, run, file, content):
    text, before = show(write(file, content))
    write("again.toml", text.replace("********", SECRET))
    assert run("check", "again.toml")[-1].startswith("again.toml: ok")
    _, after = show("again.toml")
    assert after == before


def test_the_tokens_of_the_state_directory_say_where_they_are(show, own):
    add(ports=["2222"], comment="nas", expires=date(2999, 1, 31))
    text, content = show(write("r.toml", f"[token.{own.id}]\noutside = false"))
    assert own.secret not in text
    assert content["token"] == {
        own.id: {"outside": False, "secret": "********"},
        "nas": {
            "secret": "********",
            "ports": ["2222"],
            "comment": "nas",
            "expires": date(2999, 1, 31),
        },
    }
    state = STATE.absolute()
    assert f"# file, {state}/token\n[token.{own.id}]\n" in text
    assert f"# {state}/tokens.toml\n[token.nas]\n" in text


def test_tokens_of_options_are_tables_because_there_may_be_others(show, own, monkeypatch):
    add()
    write("tokens", f"box.{SECRET}\n")
    text, content = show(write("r.toml", CONFIG))
    assert content["token"] == {name: {"secret": "********"} for name in ("phone", "nas")}
    assert content["token-file"] == str(Path("tokens").absolute())
    assert "# token: see the tables below" in text
    monkeypatch.setenv("QUICTUNNEL_TOKEN", f"desk.{SECRET}")
    text, content = show("r.toml")
    assert [*content["token"]] == ["desk", "nas"]
    assert "# environment: QUICTUNNEL_TOKEN\n[token.desk]\n" in text


def test_paths_are_absolute(show):
    write("secret", SECRET)
    Path("etc").mkdir()
    file = write("etc/r.toml", "state-dir = 's'\n[token.x]\nsecret-file = '../secret'")
    _, content = show(file)
    assert content["state-dir"] == str(Path("etc/s").absolute())
    assert content["token"] == {"x": {"secret-file": str(Path("secret").absolute())}}


def test_the_role_can_be_chosen(show, fail):
    file = write("c.toml", "hold = '1h'")
    assert "# quictunnel remote" in show(file)[0]
    assert "'remote' is missing" in fail("config", "show", "--role", "origin", file)


def test_what_could_control_a_terminal_is_escaped(show):
    text, content = show(write("r.toml", r'outside = "[::]:9000"' + "\n# \x85"))
    assert content["outside"] == "[::]:9000"
    text, _ = show(write("\x1b.toml", f'[token.x]\nsecret = "{SECRET}"\n'))
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "content",
    [
        "hold = 'soon'",
        "hold =",
        "engine = 'x'",
        "hlod = 1",
        "token-file = 'none'",
        "[token.x]\nports = 'x'",
        "[policy.x]",
        "remote = 'vps'",
        f"[token.nas]\nsecret = '{SECRET}'",
    ],
)
def test_the_errors_are_those_of_check(fail, content):
    add()
    file = write("c.toml", content)
    assert fail("config", "show", file) == fail("check", file)
    assert not Path("state/server.key").exists()
