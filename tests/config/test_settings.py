"""Settings: defaults, and what does not go together."""

from __future__ import annotations

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.admin_token import AdminToken
from quictunnel.config.proxies import parse_proxy
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings, RemoteSettings, machine_name
from quictunnel.config.tokens import Token
from quictunnel.config.urls import parse_websocket_url
from quictunnel.config.via import Via
from quictunnel.errors import SettingsError

REMOTE = HostPort("example.com", 9001)
SERVICE = ServiceSettings(target=HostPort("localhost", 8000))


def origin(**changes):
    return OriginSettings(**{"remote": REMOTE, "services": (SERVICE,), **changes})


def test_the_defaults_of_a_remote():
    settings = RemoteSettings()
    assert str(settings.listen) == "[::]:9001"
    assert str(settings.outside) == "[::]:9000"
    assert settings.hold == 900
    assert [str(network) for network in settings.trusted_proxies] == ["127.0.0.0/8", "::1/128"]
    assert (settings.engine, settings.congestion) == ("auto", None)


def test_the_defaults_of_an_origin():
    settings = origin()
    assert settings.name == machine_name()
    assert (settings.engine, settings.congestion) == ("auto", None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cert": "a"}, "--cert without --key"),
        ({"key": "a"}, "--key without --cert"),
        ({"hold": 0.5}, "hold must be between 1s and 7d, not 500ms"),
        ({"linger": -1.0}, "linger must be"),
        ({"client_wait": 4000.0}, "client-wait must be"),
        ({"client_keepalive": 9000.0}, "client-keepalive must be between 0s and 2h"),
        ({"grace": 1e9}, "grace must be"),
        ({"unread_limit": 5}, "unread-limit must be between 1MiB"),
        ({"tokens": (Token("a", "x" * 22), Token("a", "y" * 22))}, "two tokens have the id a"),
        (
            {"admin": HostPort("::", 9002)},
            "'\\[::\\]:9002' is not a loopback address, so the admin interface needs a token",
        ),
        ({"admin_token": AdminToken("0f1e2d3c4b5a69788796")}, "--admin-token is for the address"),
    ],
)
def test_what_a_remote_does_not_take(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        RemoteSettings(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "Büro"}, "is not a name"),
        ({"name": ""}, "is not a name"),
        ({"pin": b"short"}, "a pin has 32 bytes"),
        ({"pin": bytes(32), "ca": "/etc/ca.pem"}, "use one of them"),
        ({"services": ()}, "one service at least"),
        ({"services": (SERVICE, SERVICE)}, "two services lead to the outside address"),
        ({"hold": 1e9}, "hold must be"),
        (
            {"websocket_ca": "/etc/ca.pem", "insecure_websocket": True},
            "--websocket-ca and --insecure-websocket are both given",
        ),
        (
            {"websocket": parse_websocket_url("ws://vps"), "insecure_websocket": True},
            "--insecure-websocket is for the certificate of a WebSocket, and ws://vps/quictunnel",
        ),
        (
            {"websocket": parse_websocket_url("ws://vps"), "websocket_ca": "/etc/ca.pem"},
            "--websocket-ca is for the certificate of a WebSocket",
        ),
        ({"admin": HostPort("::", 9002)}, "needs a token"),
        ({"admin_token": AdminToken("0f1e2d3c4b5a69788796")}, "--admin-token is for the address"),
    ],
)
def test_what_an_origin_does_not_take(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        origin(**changes)


DAY = 24 * 3600.0


@pytest.mark.parametrize(
    ("role", "name", "least", "most"),
    [
        (RemoteSettings, "hold", 1.0, 7 * DAY),
        (RemoteSettings, "linger", 0.0, 7 * DAY),
        (RemoteSettings, "client_wait", 0.0, 3600.0),
        (RemoteSettings, "client_keepalive", 0.0, 7200.0),
        (RemoteSettings, "grace", 0.0, DAY),
        (RemoteSettings, "unread_limit", 1024**2, 1024**4),
        (origin, "hold", 1.0, 7 * DAY),
        (origin, "linger", 0.0, 7 * DAY),
        (origin, "grace", 0.0, DAY),
        (origin, "unread_limit", 1024**2, 1024**4),
    ],
)
def test_both_bounds_of_a_range_are_allowed_and_nothing_beyond_them(role, name, least, most):
    for value in (least, most):
        assert getattr(role(**{name: value}), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(SettingsError, match="must be between"):
            role(**{name: value})


def test_a_ca_file_is_read_at_once(write_pair):
    cert, key = write_pair()
    assert origin(ca=cert).ca == cert
    with pytest.raises(SettingsError, match="the CA file"):
        origin(ca=key)
    assert origin(websocket_ca=cert).websocket_ca == cert
    with pytest.raises(SettingsError, match="the CA file"):
        origin(websocket_ca=key)


OTHER = parse_websocket_url("ws://proxy.example:8080/x")


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "wss://example.com/quictunnel"),
        ({"remote": HostPort("2001:db8::1", 5)}, "wss://[2001:db8::1]/quictunnel"),
        ({"via": Via.UDP}, None),
        ({"via": Via.UDP, "websocket": OTHER}, None),
        ({"websocket": OTHER}, str(OTHER)),
        ({"remote": HostPort("localhost", 9001)}, None),
        ({"remote": HostPort("127.0.0.1", 9001)}, None),
        ({"remote": HostPort("localhost", 9001), "websocket": OTHER}, str(OTHER)),
        (
            {"remote": HostPort("localhost", 9001), "via": Via.WEBSOCKET},
            "wss://localhost/quictunnel",
        ),
    ],
)
def test_the_url_of_the_websocket(changes, url):
    found = origin(**changes).websocket_url
    assert (found and str(found)) == url


def test_settings_show_no_secret():
    token = Token("a", "s" * 30)
    assert "sss" not in repr(RemoteSettings(tokens=(token,)))
    assert "sss" not in repr(origin(token=token, proxy=parse_proxy("http://anna:sss@proxy")))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Anna's MacBook.local", "anna-s-macbook"),
        ("", "origin"),
        ("---", "origin"),
        ("x" * 99, "x" * 63),
    ],
)
def test_the_machines_name_is_made_safe(monkeypatch, host, name):
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert machine_name() == name
