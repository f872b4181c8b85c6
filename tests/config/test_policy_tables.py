"""The tables `[policy.NAME]` of a remote's file."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from quictunnel.config.policy import Policy
from quictunnel.config.toml import parse, read_config
from quictunnel.errors import SettingsError

FILE = Path("remote.toml")


def policies(text: str, *, has_services: bool = False) -> dict[str, Policy]:
    return read_config(parse(text, FILE), {"hold": "text"}, has_services=has_services).policies()


def test_every_key():
    text = """
        [policy.web]
        allow = "192.0.2.0/24"
        deny = ["192.0.2.7", "2001:db8::/32"]
        max-clients = 1000
        max-clients-per-address = 10
        max-rate-per-address = 60
        [policy.2222]
    """
    assert policies(text) == {
        "web": Policy(
            allow=(ip_network("192.0.2.0/24"),),
            deny=(ip_network("192.0.2.7"), ip_network("2001:db8::/32")),
            max_clients=1000,
            max_clients_per_address=10,
            max_rate_per_address=60,
        ),
        "2222": Policy(),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[policy.web]\nalow = '::1'",
            "unknown key 'policy.web.alow'; did you mean 'policy",
        ),
        ("[policy.web]\nallow = 'here'", "policy.web.allow: 'here' is not a network"),
        ("[policy.web]\ndeny = ['1.2.3.4/8']", "policy.web.deny: '1.2.3.4/8' has bits set beyond"),
        ("[policy.web]\nmax-clients = 'x'", "policy.web.max-clients: 'x' is not a number"),
        ("[policy.web]\nmax-clients = -1", "policy.web.max-clients: '-1' is not a number"),
        (
            "[policy.web]\nmax-rate-per-address = 0",
            "policy.web: max-rate-per-address must be",
        ),
        ("[policy.Web]", "policy.Web: 'Web' is not a service's name"),
        ("[policy.web]\nhold = 1", r"write 'hold' above the first \[policy.NAME\]"),
        ("policy = 1", r"policy: expected tables \[policy.NAME\], found a whole number"),
    ],
)
def test_what_is_wrong_is_said(text, sentence):
    with pytest.raises(SettingsError, match=f"^remote.toml: .*{sentence}"):
        policies(text)


def test_an_origins_file_has_no_policies():
    with pytest.raises(SettingsError, match="unknown key 'policy'"):
        policies("[policy.web]", has_services=True)
