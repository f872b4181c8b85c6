"""The origin's options for the path to the remote: their values, the environment, and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from state_directory import SECRET, write

from quictunnel.cli import options
from quictunnel.cli.main import invoke
from quictunnel.config.proxies import parse_proxy
from quictunnel.config.urls import parse_websocket_url
from quictunnel.config.via import Via
from quictunnel.events import ProxyIgnored

ORIGIN = ("origin", "8000", "--remote", "vps.example")
URL = parse_websocket_url("wss://vps.example")
LOGIN = f"anna:{SECRET}"


@pytest.fixture
def settings_of(monkeypatch):
    """Returns the settings with which an origin would run."""
    seen = []
    monkeypatch.setattr("quictunnel.cli.origin._run", lambda settings, *_: seen.append(settings))

    def run(*words):
        assert invoke([*ORIGIN, *words]) == 0
        return seen.pop()

    return run


def test_the_defaults(settings_of):
    settings = settings_of()
    assert (settings.via, settings.websocket, settings.proxy) == (Via.AUTO, None, None)
    assert (settings.websocket_ca, settings.insecure_websocket) == (None, False)


def test_all_options(settings_of):
    words = ("--websocket", "wss://www.example/x", "--proxy", f"socks5h://{LOGIN}@localhost")
    settings = settings_of("--via", "websocket", *words, "--insecure-websocket")
    assert settings.via is Via.WEBSOCKET
    assert str(settings.websocket) == "wss://www.example/x"
    assert settings.proxy == parse_proxy(f"socks5h://{LOGIN}@localhost:1080")
    assert settings.insecure_websocket


def test_all_keys_of_a_file(settings_of):
    content = "via = 'udp'\nwebsocket = 'ws://a'\nproxy = 'http://b'\n"
    settings = settings_of("--config", write("o.toml", content))
    assert (settings.via, str(settings.websocket)) == (Via.UDP, "ws://a/quictunnel")
    assert str(settings.proxy) == "http://b:80"


@pytest.mark.parametrize(
    ("words", "proxy"),
    [
        ((), "http://a:80"),
        (("--proxy", "http://b"), "http://b:80"),
        (("--proxy", "none"), None),
        (("--via", "udp"), None),
        (("--websocket", "ws://127.0.0.1:8080"), None),
        (("--websocket", "ws://elsewhere.example"), "http://a:80"),
        (("--websocket", "wss://not.example"), None),
    ],
)
def test_the_environment_names_a_proxy_unless_an_option_says_otherwise(
    settings_of, monkeypatch, words, proxy
):
    monkeypatch.setenv("HTTPS_PROXY", "http://a")
    monkeypatch.setenv("NO_PROXY", "not.example")
    found = settings_of(*words).proxy
    assert (found and str(found)) == proxy


def test_a_proxy_of_the_environment_that_cannot_be_used_is_a_warning(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"ftp://{LOGIN}@a")
    events = []
    assert options.read_proxy(None, URL, str, events.append) is None
    (event,) = events
    assert isinstance(event, ProxyIgnored)
    assert event.reason.startswith("ALL_PROXY: a proxy's URL begins with http://")
    assert SECRET not in event.reason


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--via", "tcp"), "'tcp' is not one of 'auto', 'udp', 'websocket'"),
        (("--websocket", "https://vps"), "--websocket: 'https://vps' is not a URL of a WebSocket"),
        (("--websocket", f"wss://{LOGIN}@vps"), "--websocket: a URL of a WebSocket has no user"),
        (("--proxy", f"ftp://{LOGIN}@p"), "--proxy: a proxy's URL begins with http://"),
        (("--proxy", f"http://{LOGIN}"), "--proxy: this is not the URL of a proxy"),
        (("--proxy", f"http://{LOGIN}/@p"), "--proxy: a proxy's URL ends after the port"),
        (("--websocket-ca", "none.pem"), "the CA file"),
        (("--websocket", "ws://vps", "--insecure-websocket"), "has none: write wss://"),
    ],
)
def test_a_wrong_value_is_one_sentence_without_a_password(capsys, words, sentence):
    assert invoke([*ORIGIN, *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert sentence in err
    assert SECRET not in err


def test_an_error_in_a_file_names_the_key(fail):
    sentence = fail(*ORIGIN, "--config", write("o.toml", f"proxy = 'ftp://{LOGIN}@p'"))
    assert "o.toml: proxy: a proxy's URL begins with" in sentence


@pytest.mark.parametrize(("proxy", "is_secret"), [(f"http://{LOGIN}@p", True), ("p:1", False)])
def test_a_file_with_the_password_of_a_proxy_is_for_its_owner(
    settings_of, capsys, proxy, is_secret
):
    path = write("o.toml", f"proxy = '{proxy}'")
    Path(path).chmod(0o644)
    settings_of("--config", path, "--log-level", "warning")
    out, err = capsys.readouterr()
    assert ("secret readable by other users" in err) == is_secret
    assert SECRET not in out + err
