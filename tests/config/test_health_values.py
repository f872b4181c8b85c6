"""Health checks as users write them, in the table of a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.health import HealthCheck, parse_check
from quictunnel.config.health_values import HEALTH_KEYS
from quictunnel.config.service_tables import read_services
from quictunnel.config.services import ServiceDefaults
from quictunnel.config.urls import HttpUrl
from quictunnel.errors import SettingsError

PATH = Path("origin.toml")


def read(**values) -> HealthCheck | None:
    table = {"to": "8000", **{key.replace("_", "-"): value for key, value in values.items()}}
    (service,) = read_services(PATH, {"web": table}, ServiceDefaults())
    return service.check


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (
            "http://localhost:8000/healthz",
            HttpUrl("http", HostPort("localhost", 8000), "/healthz"),
        ),
        ("http://LOCALHOST", HttpUrl("http", HostPort("localhost", 80), "/")),
        ("https://[::1]/a?b=c", HttpUrl("https", HostPort("::1", 443), "/a?b=c")),
        ("HTTP://a.example:8080?x", HttpUrl("http", HostPort("a.example", 8080), "/?x")),
    ],
)
def test_a_url(text, url):
    assert parse_check(text) == url


def test_a_check_that_only_connects():
    assert parse_check("tcp") is None


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("http://localhost:80/", "localhost"),
        ("https://localhost:80/", "localhost:80"),
        ("https://localhost/", "localhost"),
        ("http://[2001:db8::1]:8000/", "[2001:db8::1]:8000"),
        ("http://[2001:db8::1]/", "[2001:db8::1]"),
    ],
)
def test_the_host_of_a_request(text, authority):
    url = parse_check(text)
    assert url.authority == authority
    assert str(url) == f"{url.scheme}://{authority}/"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is not a check; write tcp or http://localhost:8000/healthz"),
        ("ping", "'ping' is not a check; write tcp or http://localhost:8000/healthz"),
        ("ftp://localhost/", "'ftp://localhost/' is not a check"),
        ("http:///healthz", "'http:///healthz' is not a check"),
        ("http://[::1/", "'http://[::1/' is not a check"),
        ("http://localhost:0/", "'0' is not a port"),
        ("http://localhost:x/", "'x' is not a port"),
        ("http://a_b..c/", "'a_b..c' is neither a host name nor an IP address"),
        ("http://me:secret@localhost/", "a check has no user name and no password"),
        ("http://localhost/#top", "'http://localhost/#top' has a part after '#'"),
        ("http://localhost/a b", "'http://localhost/a b' is not a check: a URL has neither spaces"),
        ("http://localhost/\r\nX: y", "'http://localhost/\\r\\nX: y' is not a check"),
        ("http://localhost/é", "'http://localhost/é' is not a check"),
    ],
)
def test_what_is_not_a_check(text, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_check(text)
    assert str(caught.value).startswith(sentence)


def test_a_service_has_no_check_by_default():
    assert read() is None


def test_the_defaults():
    assert read(check="tcp") == HealthCheck(
        url=None, interval=10.0, timeout=5.0, failures=3, successes=1
    )


def test_every_key():
    check = read(
        check="http://localhost/",
        check_interval="1m",
        check_timeout="500ms",
        check_failures="5",
        check_successes="2",
    )
    assert check == HealthCheck(
        url=parse_check("http://localhost/"), interval=60.0, timeout=0.5, failures=5, successes=2
    )


@pytest.mark.parametrize("key", [key for key in HEALTH_KEYS if key != "check"])
def test_the_other_keys_need_a_check(key):
    with pytest.raises(SettingsError, match=f"^{PATH}: service.web: '{key}' needs 'check', such"):
        read(**{key: "1"})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("check", "ping", "service.web.check: 'ping' is not a check"),
        ("check-interval", "soon", "service.web.check-interval: 'soon' is not a duration"),
        ("check-interval", "0", "service.web.check-interval: must be between 100ms and 1d, not 0s"),
        ("check-timeout", "2h", "service.web.check-timeout: must be between 100ms and 1h, not 2h"),
        ("check-failures", "many", "service.web.check-failures: 'many' is not a number of checks"),
        ("check-failures", "-1", "service.web.check-failures: '-1' is not a number of checks"),
        ("check-failures", "0", "service.web.check-failures: must be from 1 to 1000, not 0"),
        ("check-successes", "1001", "service.web.check-successes: must be from 1 to 1000, not"),
        ("check-successes", "9" * 5000, "service.web.check-successes: '99999"),
    ],
)
def test_an_invalid_value(key, value, sentence):
    with pytest.raises(SettingsError) as caught:
        read(**{"check": "tcp", key: value})
    assert str(caught.value).startswith(f"{PATH}: {sentence}")
