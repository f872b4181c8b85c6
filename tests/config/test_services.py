"""Services and their ports, as they are written on the command line."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.config.ports import AUTO, PortRange, parse_allowed_ports, parse_ports
from quictunnel.config.services import (
    MAX_SERVICES,
    ServiceDefaults,
    ServiceSettings,
    check_services,
    parse_services,
)
from quictunnel.errors import SettingsError

LOCAL = HostPort("localhost", 8000)


@pytest.mark.parametrize(
    ("text", "name", "ports", "target", "server"),
    [
        ("8000", "default", None, LOCAL, "localhost:8000"),
        (" box:80 ", "default", None, HostPort("box", 80), "box:80"),
        ("unix:/run/a=b", "default", None, UnixPath("/run/a=b"), "unix:/run/a=b"),
        ("2222=localhost:22", "2222", (2222, 2222), HostPort("localhost", 22), "localhost:22"),
        ("80=unix:/run/web", "80", (80, 80), UnixPath("/run/web"), "unix:/run/web"),
        ("80=[::1]:8000", "80", (80, 80), HostPort("::1", 8000), "[::1]:8000"),
        ("auto=8000", "auto-1", (0, 0), LOCAL, "localhost:8000"),
        ("5000-5009=box:80-89", "5000-5009", (5000, 5009), HostPort("box", 80), "box:80-89"),
        ("5000-5009=box:80", "5000-5009", (5000, 5009), HostPort("box", 80), "box:80-89"),
    ],
)
def test_where_and_target(text, name, ports, target, server):
    (service,) = parse_services([text])
    assert (service.name, service.target, service.server) == (name, target, server)
    assert service.ports == (ports and PortRange(*ports))


@pytest.mark.parametrize(
    ("text", "name", "host"),
    [
        ("www.example.com=8000", "www.example.com", "www.example.com"),
        (" WWW.Example.com. = 8000", "www.example.com", "www.example.com"),
        ("*.example.com=8000", "_.example.com", "*.example.com"),
        ("*=8000", "_", "*"),
        ("bücher.example=8000", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_name_is_a_place_too(text, name, host):
    (service,) = parse_services([text])
    assert (service.name, service.host, service.ports) == (name, host, None)
    assert (service.where, service.server) == (f"host {host}", "localhost:8000")


def test_each_protocol_of_a_host_has_one_service():
    secure = ServiceSettings(name="a", target=LOCAL, host="a.test", protocol="tls")
    plain = ServiceSettings(name="b", target=LOCAL, host="a.test", protocol="http")
    both = ServiceSettings(name="c", target=LOCAL, host="a.test")
    check_services([secure, plain])
    for pair in ([secure, both], [both, plain], [both, replace(both, name="d")]):
        with pytest.raises(SettingsError, match="two services have host a"):
            check_services(pair)


def test_services_have_different_names():
    services = parse_services(
        ["8000", "80=1", "81=1", "auto=1", "auto=1"], ServiceDefaults(proxy_protocol="v1")
    )
    names = [service.name for service in services]
    assert names == ["default", "80", "81", "auto-1", "auto-2"]
    assert {service.proxy_protocol for service in services} == {"v1"}


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["web=8000"], "'web' is neither a port nor a host name with a dot; write 2222, "),
        (["0=8000"], "0 is not a port from 1 to 65535"),
        (["65536=8000"], "65536 is not a port from 1 to 65535"),
        (["9-5=8000"], "'9-5' is empty; write the lower port first"),
        (["80="], "has no host"),
        (["80-89=unix:/run/web"], "the ports 80-89 need as many ports"),
        (["80-89=box:1-5"], "'box:1-5' has 5 ports, but the service has 10 ports"),
        (["box:1-5"], "has 5 ports, but the service has one port"),
        (["80-89=box:65530"], "ports above 65535"),
        (["192.0.2.1=80"], "'192.0.2.1' is an IP address, not a host name"),
        (["a..b=80"], "'a..b' is not a host name; write www.example.com"),
        (["a.*.b=80"], "is not a host name"),
        (["a.test=1-2"], "'1-2' has 2 ports, but the service has one port"),
        ([f"{'a' * 60}.test=80"], "is too long to be a service's name too"),
        (["a.test=1", "A.test=2"], "two services lead to host a.test; give each its own host name"),
        (["1", "2"], "two services lead to the outside address"),
        (["80=1", "80=2"], "two services lead to port 80"),
        (["80-89=1", "85=2"], "two services have port 85"),
        ([f"{port}=1" for port in range(1, MAX_SERVICES + 2)], f"{MAX_SERVICES + 1} services"),
        (
            ["8000:80"],
            "'8000:80' is not HOST:PORT; for a port at the remote, write 8000=localhost:80",
        ),
    ],
)
def test_what_is_not_a_service(texts, sentence):
    with pytest.raises(SettingsError, match=sentence):
        parse_services(texts)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "Web", "ports": PortRange(80, 80)}, "'Web' is not a service's name"),
        ({"name": "web"}, "either this name, a port or a host name"),
        ({"ports": PortRange(80, 80)}, "either this name, a port or a host name"),
        ({"host": "a.test"}, "either this name, a port or a host name"),
        ({"name": "web", "ports": PortRange(80, 80), "host": "a.test"}, "not both"),
        ({"name": "web", "host": "A.test"}, "'A.test' is not a host name in lower case"),
        ({"name": "web", "host": "a b"}, "'a b' is not a host name"),
        ({"protocol": "tls"}, "only a service with a host name has a protocol"),
        ({"name": "web", "host": "a.test", "protocol": "udp"}, "'udp' is not tls or http"),
        ({"proxy_protocol": "v3"}, "'v3' is not off, v1 or v2"),
        ({"share": "all"}, "'all' is not single, failover or balance"),
        ({"sticky": True}, "'sticky' needs the share 'balance', not 'single'"),
        ({"sticky": True, "share": "failover"}, "'balance', not 'failover'"),
        (
            {"name": "web", "ports": AUTO, "share": "failover"},
            "the service 'web' is at any free port, which cannot be shared; give it a port",
        ),
    ],
)
def test_settings_that_do_not_go_together(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        ServiceSettings(**{"target": LOCAL, **changes})


@given(st.text(alphabet="0123456789-=:.*auto unix/[]é", max_size=30))
def test_any_text_is_a_service_or_a_sentence(text):
    with contextlib.suppress(SettingsError):
        parse_services([text])


def test_ports_in_words():
    assert [parse_ports(text).where for text in ("80", "80-89", "auto")] == [
        "port 80",
        "ports 80-89",
        "a free port",
    ]
    assert parse_ports("auto") == AUTO


def test_auto_is_nothing_that_a_remote_allows():
    assert parse_allowed_ports("2000-2999") == PortRange(2000, 2999)
    with pytest.raises(SettingsError, match="'auto' is not a port"):
        parse_allowed_ports("auto")


@given(*[st.integers(1, 100)] * 4)
def test_ranges_as_sets(first, size, other_first, other_size):
    ours = PortRange(first, first + size - 1)
    theirs = PortRange(other_first, other_first + other_size - 1)
    ours_set = set(range(ours.first, ours.last + 1))
    theirs_set = set(range(theirs.first, theirs.last + 1))
    assert ours.size == len(ours_set)
    assert ours.overlaps(theirs) == bool(ours_set & theirs_set)
    assert (theirs in ours) == (theirs_set <= ours_set)


def test_services_of_the_command_line_share_as_its_options_say():
    defaults = ServiceDefaults(share="balance", sticky=True)
    services = parse_services(["8000", "80=1"], defaults)
    assert {(service.share, service.sticky) for service in services} == {("balance", True)}
    (service,) = parse_services(["8000"], ServiceDefaults(share="failover", sticky=True))
    assert (service.share, service.sticky) == ("failover", False)
