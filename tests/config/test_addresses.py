"""Addresses as users write them, and as they mistake them."""

from __future__ import annotations

import ipaddress

import pytest

from quictunnel.config.addresses import (
    HostPort,
    UnixPath,
    parse_admin,
    parse_listen,
    parse_network,
    parse_origin,
    parse_target,
    parse_url_path,
)
from quictunnel.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9001", "::", 9001),
        (":9001", "::", 9001),
        ("[::]:9001", "::", 9001),
        (" 0.0.0.0:0 ", "0.0.0.0", 0),
        ("[2001:DB8:0::1]:1", "2001:db8::1", 1),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("localhost:65535", "localhost", 65535),
    ],
)
def test_listen(text, host, port):
    assert parse_listen(text) == HostPort(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":", "[::]", "::1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "a:-1", "a:٣", "[::1]x:1",
     "[1.2.3.4]:1", "http://a:1", "1.2.3.256:1", "a b:1", "a:1:2", "[::1", "a:1\n2", "-a:1", "*:1"],
)  # fmt: skip
def test_listen_refuses(text):
    with pytest.raises(SettingsError):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9002", "127.0.0.1", 9002),
        (":9002", "127.0.0.1", 9002),
        ("localhost:9002", "127.0.0.1", 9002),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("127.1.2.3:9002", "127.1.2.3", 9002),
        ("[::1]:9002", "::1", 9002),
    ],
)
def test_the_address_of_the_admin_interface_is_of_this_machine_by_default(text, host, port):
    assert parse_admin(text) == HostPort(host, port)


@pytest.mark.parametrize(
    "text", ["0.0.0.0:9002", "[::]:9002", "192.0.2.1:9002", "[2001:db8::1]:1", "example.com:9002"]
)
def test_an_admin_interface_that_others_can_reach_needs_a_token(text):
    with pytest.raises(
        SettingsError, match=r"is not a loopback address, so the admin interface needs a token"
    ):
        parse_admin(text)
    assert str(parse_admin(text, has_token=True)) == text


def test_an_admin_address_without_a_port_is_refused():
    with pytest.raises(SettingsError, match=r"'127\.0\.0\.1' has no port"):
        parse_admin("127.0.0.1")


def test_an_address_to_listen_on_without_a_port_is_not_taken_for_one():
    with pytest.raises(SettingsError, match=r"'127\.0\.0\.1' has no port"):
        parse_listen("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com", HostPort("example.com", 9001)),
        ("Example.com:80", HostPort("example.com", 80)),
        ("[::1]", HostPort("::1", 9001)),
        ("[::1]:80", HostPort("::1", 80)),
        ("192.0.2.1", HostPort("192.0.2.1", 9001)),
        ("my_host.:80", HostPort("my_host.", 80)),
        ("163.com", HostPort("163.com", 9001)),
        ("bücher.example", HostPort("xn--bcher-kva.example", 9001)),
    ],
)
def test_target(text, expected):
    assert parse_target(text, 9001) == expected


@pytest.mark.parametrize(
    "text",
    ["", ":80", "example.com:0", "quic://example.com", "2001:db8::1", "a.256", "a.0x7f", "a.256."],
)
def test_target_refuses(text):
    with pytest.raises(SettingsError):
        parse_target(text, 9001)


def test_target_without_port_or_default_says_what_to_write():
    with pytest.raises(SettingsError, match=r"HOST:PORT, for example localhost:8000"):
        parse_target("localhost")


def test_ipv6_without_brackets_says_how():
    with pytest.raises(SettingsError, match="brackets"):
        parse_target("2001:db8::1:9001", 9001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8000", HostPort("localhost", 8000)),
        (":8000", HostPort("localhost", 8000)),
        ("localhost:8000", HostPort("localhost", 8000)),
        ("unix:/run/web.sock", UnixPath("/run/web.sock")),
        ("unix:web.sock", UnixPath("web.sock")),
    ],
)
def test_origin(text, expected):
    assert parse_origin(text) == expected


@pytest.mark.parametrize("text", ["localhost", "0", "70000", "unix:", "unix:/" + "a" * 103])
def test_origin_refuses(text):
    with pytest.raises(SettingsError):
        parse_origin(text)


@pytest.mark.parametrize("text", ["/", "/quictunnel", "/a/b.c/~d_e-f", "/a/"])
def test_the_path_of_a_url(text):
    assert parse_url_path(f" {text} ") == text


@pytest.mark.parametrize(
    "text", ["", "quictunnel", "//", "/a//b", "/a?b", "/a#b", "/a b", "/%61", "/ü", "/" + "a" * 255]
)
def test_a_path_that_needs_escapes_or_is_none_is_refused(text):
    with pytest.raises(SettingsError, match=r"is not a path; .* for example /quictunnel$"):
        parse_url_path(text)


@pytest.mark.parametrize("text", ["example.com:80", "[2001:db8::1]:80", "192.0.2.1:80"])
def test_text_comes_back_as_it_was_written(text):
    assert str(parse_target(text)) == text


def test_unix_path_as_text():
    assert str(parse_origin("unix:/a b")) == "unix:/a b"


def test_network():
    assert parse_network("10.0.0.0/8") == ipaddress.ip_network("10.0.0.0/8")
    assert parse_network("::1") == ipaddress.ip_network("::1/128")


def test_network_with_host_bits_names_the_one_that_is_meant():
    with pytest.raises(SettingsError, match=r"10\.0\.0\.0/8"):
        parse_network("10.1.2.3/8")


def test_network_refuses_garbage():
    with pytest.raises(SettingsError, match="not a network"):
        parse_network("office")
