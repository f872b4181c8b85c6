"""`quictunnel caddy`: the Caddyfile that it prints, and where its values come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quictunnel.cli.caddyfile import MAX_LABELS
from quictunnel.cli.main import invoke

PLACES = ("--sockets", "/run/quictunnel", "--admin", "127.0.0.1:9002")


@pytest.fixture
def caddy(capfd):
    """Returns the exit code and both outputs."""

    def run(*words):
        code = invoke(["caddy", *words])
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def printed(caddy):
    """Returns the Caddyfile for these options."""

    def run(*words) -> str:
        code, out, err = caddy(*words)
        assert (code, err) == (0, "")
        return out

    return run


def sites(text: str) -> str:
    """Return the addresses of the only site."""
    (addresses,) = re.findall(r"^(\S.*) \{$", text, re.MULTILINE)
    return addresses


def test_caddy_asks_the_remote_and_forwards_to_its_sockets(printed):
    text = printed(*PLACES)
    assert "\t\task http://127.0.0.1:9002/caddy/ask\n" in text
    assert "\ttls {\n\t\ton_demand\n\t}\n" in text
    assert "\t\t\t\troot /run/quictunnel\n" in text
    assert "reverse_proxy unix/{file_match.absolute}/http {\n" in text
    assert "\t\t\t\t\t\tproxy_protocol v2\n" in text
    assert text.count("{") == text.count("}")


def test_the_needs_are_comments_in_front(printed, tmp_path):
    head = printed("--sockets", str(tmp_path / "my sockets"), "--admin", ":9002").partition(
        "\n{\n"
    )[0]
    assert all(line.startswith("#") for line in head.strip().splitlines())
    assert f"--sockets '{tmp_path}/my sockets' --admin 127.0.0.1:9002" in head
    assert "groupadd --system quictunnel" in head
    assert "usermod -aG quictunnel caddy" in head


def test_every_name_is_served_by_default(printed):
    assert sites(printed(*PLACES)) == "https://"


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        (["WWW.Example.com"], "www.example.com"),
        (["www.example.com", "shop.example.com"], "www.example.com, shop.example.com"),
        (["www.example.com", "*.example.com"], "https://"),
        (["*"], "https://"),
    ],
)
def test_exact_names_alone_are_the_addresses_of_the_site(printed, hosts, addresses):
    words = [word for host in hosts for word in ("--hosts", host)]
    assert sites(printed(*PLACES, *words)) == addresses


def test_an_email_address_and_the_internal_authority(printed):
    text = printed(*PLACES, "--email", "me@example.com", "--internal")
    assert "{\n\temail me@example.com\n\ton_demand_tls {\n" in text
    assert "\ttls internal {\n" in text


def test_the_values_come_from_the_remotes_file(printed, tmp_path):
    Path("remote.toml").write_text(
        "sockets = 'here'\nadmin = 9003\nhosts = 'a.test'\nlisten = 9001\n"
        "[token.nas]\nsecret-file = 'missing'\nhosts = ['b.test', 'a.test']\n"
    )
    text = printed("--config", "remote.toml")
    assert f"root {tmp_path}/here\n" in text
    assert "ask http://127.0.0.1:9003/caddy/ask" in text
    assert sites(text) == "a.test, b.test"


def test_the_command_line_has_precedence_over_the_file(printed):
    Path("remote.toml").write_text(
        "sockets = 'here'\nadmin = 9003\nhosts = 'a.test'\n[token.nas]\nhosts = 'b.test'\n"
    )
    text = printed("--config", "remote.toml", *PLACES, "--hosts", "c.test")
    assert "root /run/quictunnel\n" in text
    assert "ask http://127.0.0.1:9002/" in text
    assert sites(text) == "c.test"


def test_a_file_of_a_remote_without_caddy_is_not_enough(capsys):
    Path("remote.toml").write_text("ports = 2222\n")
    assert invoke(["caddy", "--config", "remote.toml"]) == 2
    sentence = "quictunnel: remote.toml: set 'sockets' and 'admin', which the remote needs"
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.parametrize("admin", ["0.0.0.0:9002", "[::]:9002", "127.0.0.1:9002"])
def test_caddy_asks_over_loopback_if_the_admin_interface_listens_on_every_address(printed, admin):
    text = printed("--sockets", "/run/q", "--admin", admin)
    assert "ask http://127.0.0.1:9002/caddy/ask\n" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "give --config FILE, or --sockets DIR and --admin HOST:PORT, as the remote has them"),
        (
            ("--sockets", "/run/q"),
            "give --config FILE, or --admin HOST:PORT, as the remote has them",
        ),
        (("--sockets", "/run/q", "--admin", "0"), "--admin: Caddy needs a fixed port"),
        (("--sockets", "/run/q", "--admin", "192.0.2.1"), "--admin: '192.0.2.1' has no port"),
        ((*PLACES, "--hosts", "a b"), "--hosts: 'a b' is not a host name"),
        (("--sockets", "/run/{q}", "--admin", "9002"), "--sockets '/run/{q}': choose a name"),
        (("--sockets", "/run/q\nq", "--admin", "9002"), "choose a name without"),
        ((*PLACES, "--email", "a b"), "--email: 'a b' is not an email address"),
        ((*PLACES, "--email", "{env.HOME}@x"), "--email: '{env.HOME}@x' is not an email address"),
    ],
)
def test_options_that_do_not_work(caddy, words, sentence):
    code, out, err = caddy(*words)
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_file_that_does_not_work(caddy):
    Path("c.toml").write_text("sockets = '/run/q'\nadmin = '0.0.0.0'\n")
    assert "c.toml: admin: '0.0.0.0' has no port" in caddy("--config", "c.toml")[2]
    Path("c.toml").write_text("socket = '/run/q'\n")
    assert "unknown key 'socket'; did you mean 'sockets'?" in caddy("--config", "c.toml")[2]


def candidates(text: str, host: str) -> list[str]:
    """Return the folders that Caddy looks for, as its matchers and placeholders do."""
    labels = host.removesuffix(".").lower().split(".")
    wanted = re.search(r"vars name (\S+)", text)[1]
    name = re.sub(
        r"\{labels\.(\d+)\}",
        lambda found: ([*reversed(labels), *[""] * 20])[int(found[1])],
        wanted,
    )
    match = re.fullmatch(re.search(r"vars_regexp name name (\S+)", text)[1], name)
    if match is None:
        return []
    folders = re.search(r"try_files (.+)", text)[1].split()
    return [re.sub(r"\{re\.name\.(\d+)\}", lambda f: match[int(f[1])] or "", f) for f in folders]


@pytest.mark.parametrize(
    ("host", "folders"),
    [
        ("www.example.com", ["/www.example.com/", "/+.example.com/", "/+.com/", "/+/"]),
        ("WWW.Example.com.", ["/www.example.com/", "/+.example.com/", "/+.com/", "/+/"]),
        ("localhost", ["/localhost/", "/+/"]),
        ("a_b.c-d.test", ["/a_b.c-d.test/", "/+.c-d.test/", "/+.test/", "/+/"]),
    ],
)
def test_the_most_specific_folder_comes_first(printed, host, folders):
    found = candidates(printed(*PLACES), host)
    assert list(dict.fromkeys(found)) == folders


def test_names_of_many_labels_have_all_wildcards_up_to_the_limit(printed):
    text = printed(*PLACES)
    labels = [f"l{number}" for number in range(MAX_LABELS)]
    found = candidates(text, ".".join(labels))
    ends = [".".join(labels[start:]) for start in range(1, MAX_LABELS)]
    assert found == [f"/{'.'.join(labels)}/", *(f"/+.{end}/" for end in ends), "/+/"]
    assert candidates(text, ".".join(["x", *labels])) == []


@pytest.mark.parametrize(
    "host", ["../x", "a/b.test", "+.example.com", "*.test", "a..test", "[::1]", "", "a b"]
)
def test_no_other_folder_can_be_looked_for(printed, host):
    assert candidates(printed(*PLACES), host) == []


def test_caddy_forwards_the_websocket_of_origins(printed):
    text = printed(*PLACES, "--websocket", "127.0.0.1:9003", "--websocket-path", "/tunnel")
    assert "\t\t\tpath /tunnel\n" in text
    assert "\t\thandle @websocket {\n\t\t\treverse_proxy 127.0.0.1:9003\n" in text
    assert text.count("{") == text.count("}")
    assert "@websocket" not in printed(*PLACES)


def test_caddy_takes_the_websocket_from_the_file(printed, tmp_path):
    file = tmp_path / "remote.toml"
    places = 'sockets = "/run/q"\nadmin = "127.0.0.1:9002"\n'
    file.write_text(f'{places}websocket = "127.0.0.1:9003"\n')
    assert "reverse_proxy 127.0.0.1:9003" in printed("--config", str(file))
    file.write_text(f'{places}websocket = ":443"\n')  # the remote has TLS of its own there
    assert "@websocket" not in printed("--config", str(file))


def test_a_websocket_with_tls_of_its_own_needs_no_caddy(caddy):
    code, _, err = caddy(*PLACES, "--websocket", ":443")
    assert code == 2
    assert "needs no Caddy" in err


@pytest.mark.parametrize(("internal", "tls"), [((), ""), (("--internal",), "\ttls internal\n")])
def test_the_remote_has_a_site_of_its_own_for_the_websocket(printed, internal, tls):
    words = ("--websocket", "127.0.0.1:9003", "--websocket-host", "VPS.example.com")
    text = printed(*PLACES, *words, *internal)
    site = "\t\treverse_proxy /quictunnel 127.0.0.1:9003\n\t\trespond 404\n"
    assert text.endswith(f"\nvps.example.com {{\n{tls}\troute {{\n{site}\t}}\n}}\n")
    assert "@websocket" not in text


def test_a_service_may_have_the_name_of_the_remote(printed):
    words = ("--websocket", "127.0.0.1:9003", "--websocket-host", "www.example.com")
    text = printed(*PLACES, *words, "--hosts", "www.example.com", "--hosts", "other.example.com")
    assert sites(text) == "www.example.com, other.example.com"
    assert "\t\t@websocket {\n\t\t\thost www.example.com\n\t\t\tpath /quictunnel\n" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--websocket-host", "a.test"), "--websocket-host needs a --websocket at a loopback"),
        (
            ("--websocket", "127.0.0.1:9003", "--websocket-host", "*.test"),
            "--websocket-host: '*.test' stands for several names",
        ),
        (("--websocket", "127.0.0.1:9003", "--websocket-host", "a b"), "--websocket-host: 'a b' "),
    ],
)
def test_a_bad_name_of_the_remote_is_one_sentence(caddy, words, sentence):
    code, _, err = caddy(*PLACES, *words)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
