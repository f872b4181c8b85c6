"""The request for a service, and the origin server of each of its clients."""

from __future__ import annotations

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.services import ServiceDefaults, ServiceSettings, parse_services
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.protocol.address import Address
from quictunnel.protocol.messages import Service
from quictunnel.protocol.preamble import Preamble


def exposed(text, **defaults) -> ExposedService:
    return ExposedService(*parse_services([text], ServiceDefaults(**defaults)))


def client(port: int | None) -> Preamble:
    outside = None if port is None else Address("198.51.100.1", port)
    return Preamble(outside and Address("192.0.2.7", 5555), outside, "web", "id")


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("8000", Service(name="default")),
        ("2222=22", Service(name="2222", port=2222)),
        ("auto=22", Service(name="auto-1", port=0)),
        ("80-89=8000", Service(name="80-89", ports="80-89")),
        ("www.a.test=80", Service(name="www.a.test", host="www.a.test")),
        ("*.a.test=80", Service(name="_.a.test", host="*.a.test")),
    ],
)
def test_what_is_asked_for(text, request_):
    assert exposed(text).request == request_


def test_the_protocol_of_a_host_name_is_asked_for():
    target = HostPort("localhost", 80)
    service = ServiceSettings(name="web", host="a.test", protocol="tls", target=target)
    assert ExposedService(service).request == Service(name="web", host="a.test", protocol="tls")


@pytest.mark.parametrize(
    ("share", "sticky", "members"),
    [
        ("failover", False, {"share": "failover"}),
        ("balance", False, {"share": "balance"}),
        ("balance", True, {"share": "balance", "sticky": True}),
    ],
)
def test_a_shared_service_is_asked_for_as_one(share, sticky, members):
    service = exposed("80=1", share=share, sticky=sticky)
    assert service.request == Service(name="80", port=80, **members)


@pytest.mark.parametrize("text", ["8000", "2222=8000", "auto=8000", "80=unix:/run/web"])
def test_one_port_has_one_origin_server(text):
    service = exposed(text)
    found = {service.upstream(client(port)) for port in (None, 1, 2222)}
    (upstream,) = found
    assert str(upstream.target) in ("localhost:8000", "unix:/run/web")


def test_each_port_of_a_range_has_its_own():
    service = exposed("80-89=box:8000-8009")
    for port in (80, 85, 89):
        upstream = service.upstream(client(port))
        assert str(upstream.target) == f"box:{port - 80 + 8000}"
        assert upstream is service.upstream(client(port))
    for port in (None, 79, 90):
        assert service.upstream(client(port)) is None


def test_the_header_is_the_services_own():
    assert exposed("8000").header(client(80)) == b""
    assert (
        exposed("8000", proxy_protocol="v1").header(client(80)).startswith(b"PROXY TCP4 192.0.2.7 ")
    )
    assert (
        exposed("8000", proxy_protocol="v2").header(client(80)).startswith(b"\r\n\r\n\0\r\nQUIT\n")
    )
