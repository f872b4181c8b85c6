"""Configuration files: values, unknown keys, wrong types and tables of services."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.config.ports import AUTO, PortRange
from quictunnel.config.services import ServiceDefaults, ServiceSettings
from quictunnel.config.toml import parse, read_config
from quictunnel.errors import SettingsError

KEYS = {
    "remote": "text",
    "hold": "text",
    "ports": "texts",
    "token": "texts",
    "token-file": "path",
    "proxy-protocol": "text",
    "accept-proxy-protocol": "flag",
}
PATH = Path("etc/origin.toml")


def read(text, *, has_services=True):
    return read_config(parse(text, PATH), KEYS, has_services=has_services)


def services(*lines, **defaults):
    return read("\n".join(lines)).services(ServiceDefaults(**defaults))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('hold = "15m"', "15m"),
        ("hold = 15", "15"),
        ("hold = -1", "-1"),
        ("hold = 0x10", "16"),
        ('hold = ""', ""),
        ('ports = "2000-2999"', ["2000-2999"]),
        ("ports = 2222", ["2222"]),
        ('ports = [2222, "3000-3999"]', ["2222", "3000-3999"]),
        ("ports = []", []),
        ("accept-proxy-protocol = true", True),
        ("accept-proxy-protocol = false", False),
        ('token-file = "token"', "etc/token"),
        ('token-file = "../token"', "etc/../token"),
        ('token-file = "/run/token"', "/run/token"),
    ],
)
def test_values(line, value):
    assert [*read(line).values.values()] == [value]


def test_an_empty_file_has_no_values():
    config = read("# nothing\n")
    assert not config.values
    assert not config.services()


ALLOWED_KEYS = "the keys are the command's options without '--'"
SERVICE_KEYS = "a service has the keys to, port, host, protocol, proxy-protocol, share, sticky"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tokenfile = 'x'", "unknown key 'tokenfile'; did you mean 'token-file'?"),
        ("token_file = 'x'", "unknown key 'token_file'; did you mean 'token-file'?"),
        ("HOLD = 1", "unknown key 'HOLD'; did you mean 'hold'?"),
        ("[services.web]", "unknown key 'services'; "),
        ("xyz = 1", f"unknown key 'xyz'; {ALLOWED_KEYS}"),
        (
            "[service.web]\nto = 1\nprot = 1",
            "unknown key 'service.web.prot'; did you mean 'service.web.port'?",
        ),
        ("[service.web]\nto = 1\nxyz = 1", f"unknown key 'service.web.xyz'; {SERVICE_KEYS}"),
        ("[service.a.b]\nto = 1", f"unknown key 'service.a.b'; {SERVICE_KEYS}"),
        (
            "[service.web]\nto = 1\nhold = 1",
            "unknown key 'service.web.hold'; write 'hold' above the first [service.NAME]",
        ),
    ],
)
def test_unknown_keys(text, sentence):
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{PATH}: {sentence}")


TEXT = "expected a string or a whole number, found"
TEXTS = "expected a string, a whole number or a list of them, found"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hold = true", f"hold: {TEXT} true or false"),
        ("hold = 1.5", f"hold: {TEXT} a decimal number"),
        ("hold = nan", f"hold: {TEXT} a decimal number"),
        ("hold = [1]", f"hold: {TEXT} a list"),
        ("[hold]", f"hold: {TEXT} a table"),
        ("hold = 2027-01-31", f"hold: {TEXT} a date or a time"),
        ("hold = 2027-01-31T10:00:00Z", f"hold: {TEXT} a date or a time"),
        ("hold = 10:00:00", f"hold: {TEXT} a date or a time"),
        (f"hold = 0x1{'0' * 9999}", "hold: the number is too large"),
        ("ports = 1.5", f"ports: {TEXTS} a decimal number"),
        ("ports = {}", f"ports: {TEXTS} a table"),
        ("ports = [[1]]", f"ports: {TEXTS} a list in the list"),
        ("ports = [1, true]", f"ports: {TEXTS} true or false in the list"),
        ("accept-proxy-protocol = 1", "expected true or false, found a whole number"),
        ("accept-proxy-protocol = 'yes'", "expected true or false, found a string"),
        ("token-file = 1", "token-file: expected a string with a path, found a whole number"),
        ("token-file = ['a']", "token-file: expected a string with a path, found a list"),
        ("token-file = ''", "token-file: the path is empty"),
        ("service = 1", "service: expected tables [service.NAME], found a whole number"),
        ("[[service]]", "service: expected tables [service.NAME], found a list"),
        ("[service]\nto = 1", "service.to: expected a table, found a whole number"),
        ("[service.web]\nto = [1]", f"service.web.to: {TEXT} a list"),
        ("[service.web]\nto = 1\nport = true", f"service.web.port: {TEXT} true or false"),
    ],
)
def test_wrong_types(text, sentence):
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{PATH}: ")
    assert sentence in str(caught.value)


def test_an_error_does_not_quote_a_secret():
    for text in ("token = [['SECRET']]", "token = {a = 'SECRET'}", "token = SECRET", "a.SECRET"):
        with pytest.raises(SettingsError) as caught:
            read(text)
        assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(read("token = 'SECRET'"))
    assert "SECRET" not in repr(parse("token = 'SECRET'", PATH))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hold = \n", "not TOML: invalid value (at line 1, column 8)"),
        ("a = 1\nhold\n", "not TOML: expected '=' after a key in a key/value pair (at line 2, "),
        ("a = 1\na = 2\n", "not TOML: cannot overwrite a value (at line 2, "),
        (f"hold = {'9' * 9999}", "not TOML: a number is too long"),
        ("a = " + "[" * 9999, "not TOML: "),
    ],
)
def test_what_is_not_toml(text, sentence):
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{PATH}: {sentence}")


QUOTES = 'text needs quotes, as in hold = "15m"'
ASTERISK = 'a name with * needs quotes, as in [policy."*.example.com"]'
LIST = "write a list: ports = [2222, 5432]"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("hold = 15m", QUOTES),
        ("remote = vps.example.com", QUOTES),
        ("listen = 127.0.0.1:9001", QUOTES),
        ("x = 1\r\nhosts = [www.example.com]", QUOTES),
        ("[policy.*]", ASTERISK),
        ("[policy.*.example.com]\nmax-clients = 1", ASTERISK),
        ("ports = 2222, 5432", LIST),
        ("hosts = 'a.test', 'b.test'", LIST),
        ("hold =\n", None),
        ("hold = # later", None),
        ("hold = '15m' please", None),
        ("hold = '15m'x", None),
        ("a = 1\na = 2", None),
        ("[policy.80", None),
        ("[policy.80] x", None),
        ("hold = '15m", None),
        ("* = 1", None),
        ("hold 15m", None),
    ],
)
def test_advice_about_what_is_not_toml(text, advice):
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value).endswith(f"; {advice}" if advice else ")")


def test_a_key_that_only_the_other_role_has():
    with pytest.raises(SettingsError) as caught:
        read("listen = 9001")
    sentence = "unknown key 'listen'; it belongs in the remote's file, not in the origin's"
    assert str(caught.value) == f"{PATH}: {sentence}"
    with pytest.raises(SettingsError, match="it belongs in the origin's file, not in the remote's"):
        read("name = 'box'", has_services=False)


def test_services_in_a_remotes_file():
    sentence = "services belong in the origin's file, not in the remote's"
    with pytest.raises(SettingsError, match=sentence):
        read("[service.web]\nto = 1", has_services=False)


@pytest.mark.parametrize(
    ("lines", "service"),
    [
        (["to = 8000"], ServiceSettings(target=HostPort("localhost", 8000))),
        (["to = 'unix:/run/web'"], ServiceSettings(target=UnixPath("/run/web"))),
        (
            ["to = 'localhost:22'", "port = 2222"],
            ServiceSettings(
                name="web", target=HostPort("localhost", 22), ports=PortRange(2222, 2222)
            ),
        ),
        (
            ["to = 'nas:50000-50100'", "port = '50000-50100'", "proxy-protocol = 'v2'"],
            ServiceSettings(
                name="web",
                target=HostPort("nas", 50000),
                ports=PortRange(50000, 50100),
                proxy_protocol="v2",
            ),
        ),
        (
            ["to = 80", "port = 'auto'"],
            ServiceSettings(name="web", target=HostPort("localhost", 80), ports=AUTO),
        ),
        (
            ["to = 8000", "share = 'balance'", "sticky = true"],
            ServiceSettings(target=HostPort("localhost", 8000), share="balance", sticky=True),
        ),
        (
            ["to = 'my-nas:80'"],
            ServiceSettings(target=HostPort("my-nas", 80)),
        ),
    ],
)
def test_a_service(lines, service):
    assert services("[service.web]", *lines) == (service,)


def test_a_service_has_the_files_proxy_protocol_unless_it_sets_its_own():
    lines = ["[service.a]", "to = 1", "[service.b]", "to = 2", "port = 2", "proxy-protocol = 'off'"]
    assert [s.proxy_protocol for s in services(*lines, proxy_protocol="v1")] == ["v1", "off"]


@pytest.mark.parametrize(
    ("defaults", "found"),
    [
        ({}, [("single", False), ("balance", False), ("balance", True), ("single", False)]),
        (
            {"share": "failover", "sticky": True},
            [("failover", False), ("balance", True), ("balance", True), ("single", False)],
        ),
        (
            {"share": "balance", "sticky": True},
            [("balance", True), ("balance", True), ("balance", True), ("single", False)],
        ),
    ],
)
def test_a_service_is_shared_as_the_options_say_unless_its_table_says_how(defaults, found):
    lines = ["[service.a]", "to = 1", "[service.b]", "to = 2", "port = 2", "share = 'balance'"]
    lines += ["[service.c]", "to = 3", "port = 3", "share = 'balance'", "sticky = true"]
    lines += ["[service.d]", "to = 4", "port = 4", "share = 'single'"]
    assert [(s.share, s.sticky) for s in services(*lines, **defaults)] == found


def test_a_service_may_be_not_sticky_though_the_others_are():
    lines = ["[service.a]", "to = 1", "share = 'balance'", "sticky = false"]
    (service,) = services(*lines, share="balance", sticky=True)
    assert not service.sticky


def test_two_services_may_have_any_free_port():
    lines = (f"[service.{name}]\nto = 80\nport = 'auto'" for name in "ab")
    assert [service.name for service in services(*lines)] == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["[service.web]"], "service.web: 'to' is missing; "),
        (["[service.Web]", "to = 1"], "service.Web: 'Web' is not a service's name; "),
        (["[service.default]", "to = 1", "port = 1"], "service.default: the service 'default'"),
        (["[service.web]", "to = 'nas'"], "service.web.to: 'nas' has no port; "),
        (["[service.web]", "to = 'my-nas'"], "service.web.to: 'my-nas' has no port; "),
        (["[service.web]", "to = 70000"], "service.web.to: '70000' is not a port"),
        (["[service.web]", "to = 'a:1-9'"], "service.web.to: 'a:1-9' has 9 ports, but"),
        (["[service.web]", "to = 1", "port = 0"], "service.web.port: 0 is not a port"),
        (["[service.web]", "to = 1", "port = 'any'"], "service.web.port: 'any' is not a port; "),
        (
            ["[service.web]", "to = 'unix:/a'", "port = '1-2'"],
            "service.web: the ports 1-2 need as many ports",
        ),
        (
            ["[service.web]", "to = 1", "proxy-protocol = 'v3'"],
            "service.web.proxy-protocol: 'v3' is not off, v1 or v2",
        ),
        (
            ["[service.web]", "to = 1", "share = 'all'"],
            "service.web.share: 'all' is not single, failover or balance",
        ),
        (
            ["[service.web]", "to = 1", "sticky = true"],
            "service.web: 'sticky' needs the share 'balance', not 'single'",
        ),
        (
            ["[service.web]", "to = 1", "port = 'auto'", "share = 'balance'"],
            "service.web: the service 'web' is at any free port, which cannot be shared; ",
        ),
        (
            ["[service.a]", "to = 1", "[service.b]", "to = 2"],
            "two services lead to the outside address; give each its own port",
        ),
        (
            ["[service.a]", "to = 1", "port = 5", "[service.b]", "to = 1", "port = '4-6'"],
            "two services have port 5; give each its own port",
        ),
    ],
)
def test_invalid_services(lines, sentence):
    with pytest.raises(SettingsError) as caught:
        services(*lines)
    assert str(caught.value).startswith(f"{PATH}: {sentence}")


PIECES = st.lists(
    st.sampled_from(
        ["[service.a]", "[service", "]", "\n", "=", " ", '"', "'", "to", "port", "hold", "ports",
         "[", "{", "}", ",", ".", "1", "9" * 5000, "0x" + "f" * 20, "true", "1.5", "2027-01-31",
         "remote", "token-file", "#", "\\u0000", "\r", "auto", "1-9", "unix:", "é", "\0"]
    ),
    max_size=30,
).map("".join)  # fmt: skip


@given(st.text() | PIECES)
@example("a=" + "[" * 5000)
@example("hold=" + "9" * 5000)
@example("[service.a]\nto='\\u0000'")
def test_any_text_is_valid_or_a_settings_error(text):
    for has_services in (True, False):
        with contextlib.suppress(SettingsError):
            read(text, has_services=has_services).services()
