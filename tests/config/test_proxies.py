"""URLs of proxies, and the proxy that the environment names."""

from __future__ import annotations

import traceback

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.proxies import Proxy, environment_proxy, is_exception, parse_proxy
from quictunnel.errors import SettingsError

VPS = HostPort("vps.example.com", 443)


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("http", HostPort("proxy.example", 3128))),
        ("proxy.example:3128", Proxy("http", HostPort("proxy.example", 3128))),
        ("http://proxy.example/", Proxy("http", HostPort("proxy.example", 80))),
        ("https://proxy.example", Proxy("https", HostPort("proxy.example", 443))),
        ("socks5://[::1]", Proxy("socks5", HostPort("::1", 1080))),
        ("socks://10.0.0.1:9", Proxy("socks5", HostPort("10.0.0.1", 9))),
        ("socks5h://a:b@p", Proxy("socks5h", HostPort("p", 1080), "a", "b")),
        ("http://a%20b:%40%3A%2F@p", Proxy("http", HostPort("p", 80), "a b", "@:/")),
        ("http://a:b:c@p", Proxy("http", HostPort("p", 80), "a", "b:c")),
        ("http://anna@p", Proxy("http", HostPort("p", 80), "anna")),
    ],
)
def test_the_parts_of_a_proxys_url(text, proxy):
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "this is not the URL of a proxy; write http://"),
        ("http://", "this is not the URL of a proxy"),
        ("http://[::1:s3cret", "this is not the URL of a proxy"),
        ("http://anna:s3cret", "this is not the URL of a proxy"),
        ("http://s3cret é@p", "this is not the URL of a proxy"),
        ("ftp://anna:s3cret@p", "begins with http://, https://, socks5://, socks5h://, not with"),
        ("http://anna:s3cret@p:0", "'0' is not a port"),
        ("http://anna:s3cret/x@p", "a proxy's URL ends after the port"),
        ("http://anna:s3cret#x@p", "a proxy's URL ends after the port"),
        ("http://:s3cret@p", "a password needs a user name"),
        ("http://an%3Ana:s3cret@p", "the user name has a ':'"),
        ("http://anna:s3cret%0D%0A@p", "a control character"),
        ("http://anna:s3cret%FF@p", "or is not UTF-8"),
        (f"socks5://anna:s3cret{250 * 'x'}@p", "SOCKS allows 255 bytes"),
    ],
)
def test_what_is_no_proxys_url_is_refused_and_its_password_not_quoted(text, sentence):
    with pytest.raises(SettingsError, match=sentence) as caught:
        parse_proxy(text)
    assert "s3cret" not in "".join(traceback.format_exception_only(caught.value))


def test_a_proxy_is_shown_without_its_login():
    proxy = parse_proxy("http://anna:s3cret@proxy.example:3128")
    assert str(proxy) == "http://proxy.example:3128"
    assert "anna" not in repr(proxy)
    assert "s3cret" not in repr(proxy)


@pytest.mark.parametrize(
    ("environ", "variable", "server"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "http://a"}, None, None),
        ({"HTTPS_PROXY": "http://a", "ALL_PROXY": "http://b"}, "HTTPS_PROXY", "a"),
        ({"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, "https_proxy", "a"),
        ({"https_proxy": "", "all_proxy": "socks5h://b"}, "all_proxy", "b"),
        ({"ALL_PROXY": "b"}, "ALL_PROXY", "b"),
        ({"HTTPS_PROXY": "http://a", "NO_PROXY": "example.com"}, None, None),
        ({"HTTPS_PROXY": "http://a", "no_proxy": "", "NO_PROXY": "*"}, "HTTPS_PROXY", "a"),
    ],
)
def test_the_environments_proxy(environ, variable, server):
    found = environment_proxy(environ, VPS)
    assert (found and (found.variable, found.proxy.server.host)) == (
        variable and (variable, server)
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_this_machine_is_reached_without_the_environments_proxy(host):
    assert environment_proxy({"HTTPS_PROXY": "http://a"}, HostPort(host, 443)) is None


def test_a_malformed_variable_is_named_and_not_quoted():
    with pytest.raises(SettingsError, match=r"^ALL_PROXY: a proxy's URL begins with") as caught:
        environment_proxy({"ALL_PROXY": "ftp://anna:s3cret@a"}, VPS)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("exceptions", "host"),
    [
        ("*", "vps.example.com"),
        ("a.example, EXAMPLE.com", "vps.example.com"),
        (".example.com", "vps.example.com"),
        (".example.com", "example.com"),
        ("*.example.com", "vps.example.com."),
        ("vps.example.com:443", "vps.example.com"),
        ("10.0.0.0/8 b", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:443", "10.1.2.3"),
        ("2001:db8::/32", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
    ],
)
def test_a_server_without_a_proxy(exceptions, host):
    assert is_exception(exceptions, HostPort(host, 443))


@pytest.mark.parametrize(
    ("exceptions", "host"),
    [
        ("", "vps.example.com"),
        (" , ", "vps.example.com"),
        ("ample.com", "example.com"),
        ("www.example.com", "example.com"),
        ("example.com:80", "example.com"),
        ("10.0.0.0/8", "11.0.0.1"),
        ("10.1.2.3:80", "10.1.2.3"),
        ("0.0.0.0/0", "2001:db8::7"),
        ("3", "10.1.2.3"),
        (".", "example.com"),
    ],
)
def test_a_server_with_a_proxy(exceptions, host):
    assert not is_exception(exceptions, HostPort(host, 443))
