"""Policies for places that no service can have."""

from __future__ import annotations

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.grants import Grant
from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.unused_policies import unused_policies

TLS = HostPort("::", 443)
ALLOWED = RemoteSettings(
    ports=(PortRange(2000, 2999),),
    tls=TLS,
    hosts=("*.a.test", "b.test"),
    grants={"t": Grant(ports=(PortRange(5000, 5000),), hosts=("c.test",)), "u": Grant()},
)


def reasons(settings, *places):
    policies = dict.fromkeys(places, Policy(max_clients=1))
    return unused_policies(
        RemoteSettings(
            ports=settings.ports,
            tls=settings.tls,
            hosts=settings.hosts,
            grants=settings.grants,
            policies=policies,
        )
    )


@pytest.mark.parametrize(
    "place",
    [
        None,
        PortRange(2222, 2222),
        PortRange(2900, 3100),
        PortRange(1, 65535),
        PortRange(5000, 5000),
        "www.a.test",
        "*.b.a.test",
        "*.a.test",
        "*.test",
        "*",
        "b.test",
        "c.test",
    ],
)
def test_a_place_that_a_service_can_have(place):
    assert reasons(ALLOWED, place) == {}


@pytest.mark.parametrize(
    ("place", "name", "sentence"),
    [
        (PortRange(20423, 20423), "20423", "neither 'ports' nor a token allows port 20423"),
        (
            PortRange(3000, 3999),
            "3000-3999",
            "neither 'ports' nor a token allows any of the ports 3000-3999",
        ),
        ("a.test", "a.test", "neither 'hosts' nor a token allows host a.test"),
        ("*.b.test", "*.b.test", "neither 'hosts' nor a token allows host *.b.test"),
    ],
)
def test_a_place_that_no_service_can_have(place, name, sentence):
    assert reasons(ALLOWED, place) == {name: sentence}


def test_host_names_without_a_listener():
    sentence = "the remote has none of the keys 'tls', 'http' and 'sockets'"
    assert reasons(RemoteSettings(), "*", "a.test") == {"*": sentence, "a.test": sentence}
