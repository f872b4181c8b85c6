"""The tables `[token.ID]` of a remote's file: secrets and rights."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.config.ports import PortRange
from quictunnel.config.tokens import Token
from quictunnel.config.toml import parse, read_config
from quictunnel.errors import SettingsError
from quictunnel.events import SecretExposed, discard_event

SECRET = "s" * 32
KEYS = {"token": "texts", "ports": "texts", "hold": "text"}
FILE = Path("remote.toml")


def read(text: str, path: Path = FILE):
    return read_config(parse(text, path), KEYS, has_services=False)


def grant(text: str) -> Grant:
    _, grants = read(f"[token.t1]\n{text}").tokens(discard_event)
    return grants["t1"]


def at(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DEFAULT_GRANT),
        ("outside = false", Grant(outside=False)),
        ('ports = "2222"', Grant(ports=(PortRange(2222, 2222),))),
        ("ports = 2222", Grant(ports=(PortRange(2222, 2222),))),
        ('ports = [80, "90-99"]', Grant(ports=(PortRange(80, 80), PortRange(90, 99)))),
        ("ports = []", Grant(ports=())),
        ("hosts = 'WWW.example.com'", Grant(hosts=("www.example.com",))),
        ("hosts = ['*.a.test', '*']", Grant(hosts=("*.a.test", "*"))),
        ("hosts = []", Grant(hosts=())),
        ("max-clients = 20", Grant(max_clients=20)),
        ('rate = "100Mbit"', Grant(rate=12_500_000)),
        ("expires = 2027-01-31", Grant(expires_at=at(2027, 1, 31))),
        ("expires = 2027-01-31T12:00:00", Grant(expires_at=at(2027, 1, 31, 12))),
        ("expires = 2027-01-31T12:00:00+02:00", Grant(expires_at=at(2027, 1, 31, 10))),
    ],
)
def test_rights(text, expected):
    assert grant(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 1", "unknown key 'token.t1.port'; did you mean 'token.t1.ports'?"),
        ("hold = '1h'", r"unknown key 'token.t1.hold'; write 'hold' above the first \[token.ID\]"),
        ("ports = 'auto'", "token.t1.ports: 'auto' is not a port; write 2222 or 2000-2999"),
        ("ports = true", "token.t1.ports: expected a string, a whole number or a list"),
        ("hosts = '192.0.2.1'", "token.t1.hosts: '192.0.2.1' is an IP address, not a host name"),
        ("outside = 1", "token.t1.outside: expected true or false, found a whole number"),
        ("expires = '2027'", "token.t1.expires: expected a date, such as 2027-01-31"),
        ("max-clients = 0", "token.t1.max-clients: must be from 1 to 1,000,000"),
        ("rate = 100", "token.t1.rate: '100' is not a rate"),
        ("rate = '1bit'", "token.t1.rate: must be from 8kbit"),
        ("max-clients = 'many'", "token.t1.max-clients: 'many' is not a number of clients"),
        ("secret = 'short'", "token.t1: the token looks cut off"),
        ("secret = 'a'\nsecret-file = 'b'", "token.t1: 'secret' and 'secret-file' are both set"),
        ("secret-file = 'missing'", "token.t1: the secret file 'missing' cannot be read"),
    ],
)
def test_what_is_wrong_is_said(text, sentence):
    with pytest.raises(SettingsError, match=f"^remote.toml: .*{sentence}"):
        read(f"[token.t1]\n{text}").tokens(discard_event)


@pytest.mark.parametrize("text", ["token.t1 = 5", "[[token.t1]]"])
def test_a_token_is_a_table(text):
    with pytest.raises(SettingsError, match=r"token\.t1: expected a table"):
        read(text)


@pytest.mark.parametrize(
    "text", [f"[token.t1.{SECRET}]", f"[token.'t1.{SECRET}']\nports = 1", f"[token.'{SECRET}.x']"]
)
def test_a_secret_in_the_wrong_place_is_not_quoted(text):
    with pytest.raises(SettingsError, match="write only the part of the token before") as caught:
        read(text)
    assert SECRET not in str(caught.value)


def test_secrets_are_in_the_file_or_beside_it(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "secret").chmod(0o644)
    text = f"[token.a]\nsecret = '{SECRET}'\n[token.b]\nsecret-file = 'secret'\n[token.c]\n"
    config = read(text, tmp_path / "remote.toml")
    events = []
    tokens, grants = config.tokens(events.append)
    assert tokens == (Token("a", SECRET), Token("b", SECRET))
    assert set(grants) == {"a", "b", "c"}
    assert config.files == (tmp_path / "secret",)
    (event,) = events
    assert isinstance(event, SecretExposed)


def test_a_list_of_tokens_is_still_an_option():
    config = read(f"token = 't1.{SECRET}'")
    assert (config.values, config.token_tables) == ({"token": [f"t1.{SECRET}"]}, {})
