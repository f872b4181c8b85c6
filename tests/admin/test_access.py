"""Which requests may come from a web page of another site, and are refused."""

from __future__ import annotations

from functools import partial

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from quictunnel.admin.access import (
    CROSS_SITE,
    WRONG_HOST,
    SameSite,
    host_of,
    is_local,
    is_local_or_address,
)


async def _command(_request):
    return PlainTextResponse("done\n")


@pytest.fixture
async def peer(serve):
    return await serve(Route("/command", _command, methods=["POST"]))


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9002", "127.0.0.1", "127.0.0.1:80", "127.8.9.1", "[::1]", "[::1]:1"],
)
async def test_a_host_of_this_machine_is_answered(peer, host):
    answer = await peer.request("/hello", host=host)
    assert (answer.status, answer.body) == (200, b"hello\n")


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com:9002",
        "192.0.2.1",
        "0.0.0.0",
        "[2001:db8::1]:9002",
        "[127.0.0.1]",
        "::1",
        "localhost:",
        "localhost:port",
        "localhost:1:2",
        "[::1",
        "[]",
        "",
    ],
)
async def test_another_host_is_refused(peer, host):
    answer = await peer.request("/hello", host=host)
    assert (answer.status, answer.json) == (421, {"error": WRONG_HOST})


async def test_a_request_without_a_host_or_with_two_is_refused(peer):
    assert (await peer.send(b"GET /hello HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 421 ")
    twice = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
    assert (await peer.send(twice)).startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        ("nas.example.com", True),
        ("NAS.Example.com", True),
        ("198.51.100.1", True),
        ("[2001:db8::1]", True),
        ("localhost", True),
        ("evil.test", False),
        ("example.com", False),
        ("1.2.3.4.evil.test", False),
        ("", False),
    ],
)
def test_with_a_token_addresses_and_the_configured_host_are_accepted(host, is_accepted):
    assert is_local_or_address(host, "nas.example.com") == is_accepted


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a:1", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", ""), ("a:", "")],
)
def test_the_host_of_an_authority(authority, host):
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "https://LOCALHOST"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://localhost", "Sec_Fetch_Site": "same-origin"},
    ],
)
async def test_programs_and_own_pages_may_give_commands(peer, headers):
    assert (await peer.request("/command", method="POST", **headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "http://localhost:9003"},
        {"Origin": "http://localhost.evil.test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "something"},
        {"Origin": "http://localhost", "Sec_Fetch_Site": "cross-site"},
        {
            "Sec_Fetch_Site": "cross-site",
            "Sec_Fetch_Mode": "navigate",
            "Sec_Fetch_Dest": "document",
        },
    ],
)
async def test_commands_of_other_sites_are_refused(peer, headers):
    answer = await peer.request("/command", method="POST", **headers)
    assert (answer.status, answer.json) == (403, {"error": CROSS_SITE})


@pytest.mark.parametrize("destination", ["empty", "script", "image", "iframe", "document"])
async def test_of_what_other_sites_request_only_a_page_in_a_window_is_answered(peer, destination):
    mode = "navigate" if destination in {"iframe", "document"} else "no-cors"
    answer = await peer.request(
        "/hello", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode=mode, Sec_Fetch_Dest=destination
    )
    assert answer.status == (200 if destination == "document" else 403)


async def test_the_origin_has_the_port_of_the_host(serve):
    accepts = partial(is_local_or_address, configured="nas.test")
    peer = await serve(guard=lambda app: SameSite(app, accepts))
    for origin, status in (
        ("http://nas.test:9002", 200),
        ("http://nas.test", 403),
        ("http://nas.test:80", 403),
    ):
        answer = await peer.request("/hello", host="nas.test:9002", Origin=origin)
        assert answer.status == status


def test_a_loopback_address_in_brackets_must_be_ipv6():
    assert is_local("[::1]")
    assert not is_local("[127.0.0.1]")
    assert not is_local("::1")
