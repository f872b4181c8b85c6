"""The tables `[policy.NAME]` of a remote's file."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from quictunnel.config.networks import NetworkSet
from quictunnel.config.policy import Place, Policy
from quictunnel.config.ports import PortRange
from quictunnel.config.toml import parse, read_config
from quictunnel.errors import SettingsError

FILE = Path("remote.toml")


def policies(text: str, *, has_services: bool = False) -> dict[Place, Policy]:
    return read_config(parse(text, FILE), {"hold": "text"}, has_services=has_services).policies()


def test_every_key():
    text = """
        [policy.2222]
        allow = "192.0.2.0/24"
        deny = ["192.0.2.7", "2001:db8::/32"]
        max-clients = 1000
        max-clients-per-address = 10
        max-rate-per-address = 60
        rate-per-client = "10Mbit"
        rate = "12.5MB"
        idle-timeout = "10m"
        [policy.2000-2999]
        [policy.default]
        [policy."WWW.example.com"]
        max-clients = 5
        [policy."*.example.com"]
        [policy."*"]
    """
    assert policies(text) == {
        PortRange(2222, 2222): Policy(
            allow=NetworkSet([ip_network("192.0.2.0/24")]),
            deny=NetworkSet([ip_network("192.0.2.7"), ip_network("2001:db8::/32")]),
            max_clients=1000,
            max_clients_per_address=10,
            max_rate_per_address=60,
            rate_per_client=1_250_000,
            rate=12_500_000,
            idle_timeout=600,
        ),
        PortRange(2000, 2999): Policy(),
        None: Policy(),
        "www.example.com": Policy(max_clients=5),
        "*.example.com": Policy(),
        "*": Policy(),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[policy.80]\nalow = '::1'",
            "unknown key 'policy.80.alow'; did you mean 'policy",
        ),
        ("[policy.80]\nallow = 'here'", "policy.80.allow: 'here' is not a network"),
        ("[policy.80]\ndeny = ['1.2.3.4/8']", "policy.80.deny: '1.2.3.4/8' has bits set beyond"),
        ("[policy.80]\nmax-clients = 'x'", "policy.80.max-clients: 'x' is not a number of clients"),
        ("[policy.80]\nmax-clients = -1", "policy.80.max-clients: '-1' is not a number of clients"),
        (
            "[policy.80]\nmax-rate-per-address = 0",
            "policy.80.max-rate-per-address: must be",
        ),
        (
            "[policy.ssh]",
            "policy.ssh: a policy is for 'default', a port, a range of ports or a host name: 'ssh'",
        ),
        ("[policy.'192.0.2.1']", "policy.192.0.2.1: .*: '192.0.2.1' is an IP address"),
        ("[policy.80]\n[policy.'080']", "policy.080: another table is for the same place"),
        ("[policy.80]\nallow = []", "policy.80.allow: the list is empty; leave the key out"),
        ("[policy.80]\nmax-clients = '%s'" % ("9" * 5000), "is not a number of clients"),
        ("[policy.80]\nrate = 10", "policy.80.rate: '10' is not a rate; write for example 10Mbit"),
        ("[policy.80]\nrate = '1bit'", "policy.80.rate: must be from 8kbit to 1000Gbit"),
        (
            "[policy.80]\nrate-per-client = '2000Gbit'",
            "policy.80.rate-per-client: must be from 8kbit to 1000Gbit",
        ),
        ("[policy.80]\nidle-timeout = 'x'", "policy.80.idle-timeout: 'x' is not a duration"),
        ("[policy.80]\nidle-timeout = 0", "policy.80.idle-timeout: must be from 1s to 7d"),
        ("[policy.80]\ndeny-file = ''", "policy.80.deny-file: the path is empty"),
        (
            "[policy.80]\ndeny-file = 'missing'",
            "policy.80.deny-file: the list of networks 'missing' cannot be read: no such file",
        ),
        ("[policy.80]\nhold = 1", r"write 'hold' above the first \[policy.NAME\]"),
        ("policy = 1", r"policy: expected tables \[policy.NAME\], found a whole number"),
    ],
)
def test_what_is_wrong_is_said(text, sentence):
    with pytest.raises(SettingsError, match=f"^remote.toml: .*{sentence}"):
        policies(text)


def test_an_origins_file_has_no_policies():
    with pytest.raises(SettingsError, match="unknown key 'policy'"):
        policies("[policy.80]", has_services=True)


def test_files_add_to_the_lists(tmp_path):
    (tmp_path / "allowed").write_text("192.0.2.0/24\n")
    (tmp_path / "denied").write_text("# nobody at present\n")
    text = """
        [policy.80]
        allow = "198.51.100.7"
        allow-file = "allowed"
        deny-file = "denied"
    """
    config = read_config(parse(text, tmp_path / "remote.toml"), {}, has_services=False)
    (policy,) = config.policies().values()
    assert policy.allow == NetworkSet([ip_network("198.51.100.7"), ip_network("192.0.2.0/24")])
    assert policy.deny == NetworkSet()
    assert config.files == (tmp_path / "allowed", tmp_path / "denied")


def test_an_empty_file_of_allowed_networks_does_not_allow_all(tmp_path):
    (tmp_path / "allowed").touch()
    document = parse('[policy.80]\nallow-file = "allowed"', tmp_path / "remote.toml")
    config = read_config(document, {}, has_services=False)
    with pytest.raises(SettingsError, match=r"80.allow-file: the list of networks .* is empty"):
        config.policies()
