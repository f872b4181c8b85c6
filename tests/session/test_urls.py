"""Addresses that a person can open."""

from __future__ import annotations

import pytest

from quictunnel.session.urls import tcp_url, web_url


@pytest.mark.parametrize(
    ("scheme", "port", "url"),
    [
        ("https", None, "https://www.test/"),
        ("https", 443, "https://www.test/"),
        ("https", 80, "https://www.test:80/"),
        ("http", 80, "http://www.test/"),
        ("http", 8080, "http://www.test:8080/"),
    ],
)
def test_the_port_of_a_site_is_shown_unless_it_is_the_usual_one(scheme, port, url):
    assert web_url(scheme, "www.test", port) == url


def test_an_ipv6_address_gets_brackets():
    assert tcp_url("2001:db8::1", 22) == "tcp://[2001:db8::1]:22"
    assert tcp_url("192.0.2.1", 22) == "tcp://192.0.2.1:22"
