"""URLs of WebSockets. Those of web servers are tested with what uses them."""

from __future__ import annotations

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.urls import parse_websocket_url
from quictunnel.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "server", "path", "shown"),
    [
        ("wss://vps.example", HostPort("vps.example", 443), "/quictunnel", None),
        ("wss://VPS.example/Link", HostPort("vps.example", 443), "/Link", None),
        ("wss://vps.example:443/a", HostPort("vps.example", 443), "/a", "wss://vps.example/a"),
        ("ws://127.0.0.1:8080/", HostPort("127.0.0.1", 8080), "/", "ws://127.0.0.1:8080/"),
        ("ws://[::1]?key=1", HostPort("::1", 80), "/?key=1", "ws://[::1]/?key=1"),
    ],
)
def test_the_parts_of_a_url(text, server, path, shown):
    url = parse_websocket_url(text)
    assert (url.server, url.path) == (server, path)
    assert str(url) == (shown or f"{url.scheme}://{server.host}{path}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("https://vps.example", "is not a URL of a WebSocket; write wss://vps.example.com/quict"),
        ("vps.example", "is not a URL of a WebSocket; write"),
        ("", "is not a URL of a WebSocket; write"),
        ("wss://", "is not a URL of a WebSocket; write"),
        ("wss://[::1", "is not a URL of a WebSocket; write"),
        ("wss://vps.example/a b", "a URL has neither spaces nor letters beyond ASCII"),
        ("wss://vps.example/#a", "has a part after '#'"),
        ("wss://vps.example:0/", "'0' is not a port from 1 to 65535"),
    ],
)
def test_what_is_no_url_of_a_websocket(text, sentence):
    with pytest.raises(SettingsError, match=sentence):
        parse_websocket_url(text)


@pytest.mark.parametrize("text", ["wss://anna:s3cret@vps", "wss://anna:s3cret é@vps"])
def test_a_password_is_refused_and_not_quoted(text):
    with pytest.raises(SettingsError, match="has no user name and no password") as caught:
        parse_websocket_url(text)
    assert "s3cret" not in str(caught.value)
