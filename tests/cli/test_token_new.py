"""`quictunnel token new`."""

from __future__ import annotations

import json
import os
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from state_directory import OTHER_USER, STATE, add, head, write

from quictunnel.cli.token_new import parse_expiry
from quictunnel.config.state import load_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError


def test_without_options_it_only_prints_a_token(run):
    (line,) = run("token", "new")
    assert Token.parse(line).reveal() == line
    assert not STATE.exists()


def test_options_of_the_remote_in_the_environment_do_not_matter(run, monkeypatch):
    for name, value in {"PORTS": "2222", "STATE_DIR": "state", "LISTEN": "9005"}.items():
        monkeypatch.setenv(f"QUICTUNNEL_{name}", value)
    assert len(run("token", "new")) == 1
    assert not STATE.exists()


def test_an_added_token_is_stored_and_printed_with_the_command(run, own):
    first, second, rights, last = run("token", "new", "--add", "--remote", "example.com")
    token = Token.parse(first.removeprefix("token: "))
    assert second == f"origin: {head(token)} localhost:8000"
    assert rights == "rights: outside address, the remote's ports and hosts"
    assert last == f"stored: {STATE.absolute()}/tokens.toml"
    assert TokenStore(STATE).load()[0] == (token,)
    assert load_token(STATE) == own


def test_rights_are_stored_as_a_table(run, own):
    words = ["--ports", "2222", "--ports", "3000-3999", "--no-outside", "--max-clients", "20"]
    words += ["--hosts", "*.example.com", "--hosts", "example.org"]
    words += ["--rate", "100Mbit", "--expires", "2999-01-31", "--comment", 'my "nas"']
    run("token", "new", *words)
    (table,) = tomllib.loads(Path("state/tokens.toml").read_text())["token"].values()
    del table["secret"]
    assert table == {
        "comment": 'my "nas"',
        "outside": False,
        "ports": ["2222", "3000-3999"],
        "hosts": ["*.example.com", "example.org"],
        "max-clients": 20,
        "rate": "100Mbit",
        "expires": date(2999, 1, 31),
    }


DEFAULT = {"outside": True, "ports": None, "hosts": None}
NOTHING = {"outside": False, "ports": [], "hosts": []}


@pytest.mark.parametrize(
    ("words", "allowed", "line"),
    [
        ("--add", DEFAULT, "outside address, the remote's ports and hosts"),
        ("--rate 1Mbit", DEFAULT, "outside address, the remote's ports and hosts, 1Mbit/s"),
        ("--outside", DEFAULT, "outside address, the remote's ports and hosts"),
        ("--no-outside", {**DEFAULT, "outside": False}, "the remote's ports and hosts"),
        ("--hosts a.test", {**NOTHING, "hosts": ["a.test"]}, "hosts a.test"),
        ("--ports 2222", {**NOTHING, "ports": ["2222"]}, "ports 2222"),
        ("--ports 2222 --no-outside", {**NOTHING, "ports": ["2222"]}, "ports 2222"),
        (
            "--ports 2222 --outside",
            {**NOTHING, "ports": ["2222"], "outside": True},
            "outside address, ports 2222",
        ),
        (
            "--ports 2222 --hosts a.test",
            {**NOTHING, "ports": ["2222"], "hosts": ["a.test"]},
            "ports 2222, hosts a.test",
        ),
    ],
)
def test_once_ports_or_host_names_are_named_nothing_else_is_allowed(run, own, words, allowed, line):
    assert f"rights: {line}" in run("token", "new", *words.split())
    _, listed = json.loads("\n".join(run("token", "list", "--json")))
    assert {key: listed[key] for key in allowed} == allowed
    assert line in run("token", "list")[-1]


@pytest.mark.parametrize(("value", "allowed"), [("true", True), ("false", False)])
def test_the_outside_address_may_be_set_in_the_environment(run, own, monkeypatch, value, allowed):
    monkeypatch.setenv("QUICTUNNEL_TOKEN_OUTSIDE", value)
    run("token", "new")
    (table,) = TokenStore(STATE).tables().values()
    assert table["outside"] is allowed


def test_the_command_has_the_port_of_the_remote(run, own):
    lines = run("token", "new", "--ports", "7", "--remote", "example.com", "--listen", "9005")
    assert "--remote example.com:9005 --origin 7=localhost:8000" in lines[1]


def test_the_configuration_file_names_the_state_and_the_port(run):
    file = write("r.toml", "listen = 9005\nstate-dir = 'other'\nports = 2222\nhold = '1h'")
    lines = run("token", "new", "--add", "--config", file, "--remote", "example.com")
    assert "--remote example.com:9005 --origin localhost:8000" in lines[1]
    (table,) = TokenStore(Path("other")).tables().values()
    assert set(table) == {"secret"}


def test_a_directory_without_a_remote_is_a_warning(run):
    *_, warning = run("token", "new", "--add")
    assert warning == f"warning: no remote has used this state directory yet{OTHER_USER}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--ports", "x"], "--ports: 'x' is not a port; write 2222 or 2000-2999"),
        (["--hosts", "1.2.3.4"], "--hosts: '1.2.3.4' is an IP address, not a host name; write"),
        (["--max-clients", "many"], "--max-clients: 'many' is not a number of clients"),
        (["--max-clients", "0"], "--max-clients: must be from 1 to 1,000,000"),
        (["--rate", "100"], "--rate: '100' is not a rate; write for example 10Mbit for bits per"),
        (["--rate", "1bit"], "--rate: must be from 8kbit to 1000Gbit"),
        (["--comment", "a\nb"], "--comment: a comment is one line of at most 200 characters"),
        (["--expires", "soon"], "--expires: 'soon' is neither a date nor a duration; write"),
        (["--add", "--listen", "x"], "--listen: 'x' has no port"),
        (["--add", "--remote", "a b"], "--remote: 'a b' is neither a host name nor"),
        (["--add", "--config", "none"], "the configuration file 'none' cannot be read"),
        (["--add", "--state-dir", "file/s"], "the state directory 'file/s' cannot be created"),
        (["--state-dir", "x"], "--state-dir needs --add: without it, no remote gets the token"),
        (["--remote", "x"], "--remote needs --add: without it, no remote gets the token"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_a_sentence_and_stores_nothing(fail, words, sentence):
    Path("file").touch()
    assert fail("token", "new", *words).startswith(f"quictunnel: {sentence}")
    assert os.listdir() == ["file"]


def test_a_damaged_file_is_a_sentence_and_stays(fail):
    add()
    Path("state/tokens.toml").write_text("garbage")
    assert "tokens.toml: not TOML: " in fail("token", "new", "--add")
    assert Path("state/tokens.toml").read_text() == "garbage"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2999-01-31", date(2999, 1, 31)),
        (" 2999-01-31 ", date(2999, 1, 31)),
        ("2999-01-31T12:00", datetime(2999, 1, 31, 12, tzinfo=UTC)),
        ("2999-01-31 12:00:00Z", datetime(2999, 1, 31, 12, tzinfo=UTC)),
        ("2999-01-31T12:00+02:00", datetime(2999, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_date(text, moment):
    assert parse_expiry(text) == moment


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * 86400), ("1d12h", 36 * 3600), ("90m", 5400)]
)
def test_a_duration(text, seconds):
    before = datetime.now(UTC).replace(microsecond=0)
    moment = parse_expiry(text)
    length = timedelta(seconds=seconds)
    assert before + length <= moment <= datetime.now(UTC) + length


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2020-01-01", "'2020-01-01' is not in the future"),
        ("2020-01-01T12:00", "'2020-01-01T12:00' is not in the future"),
        ("0s", "'0s' is not in the future"),
        ("30", "'30' has no unit; write 30d for days"),
        ("", "'' is neither a date nor a duration"),
        ("2999-13-01", "'2999-13-01' is not a date"),
        ("2999-01-31T25:00", "'2999-01-31T25:00' is not a date"),
        ("20270131", "'20270131' has no unit"),
        ("9999999999d", "'9999999999d' is too long"),
        ("9" * 31 + "d", "' is too long"),
    ],
)
def test_what_is_neither(text, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_expiry(text)
    assert sentence in str(caught.value)
