"""`quictunnel token list`."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

from state_directory import OTHER_USER, SECRET, STATE, add, write


def test_the_tokens_of_the_state_directory(run, own):
    add(ports=["2222", "3000-3999"], outside=False, max_clients=20, rate="1.25MB", comment="my")
    add("old", expires=date(2020, 1, 31), ports=[], hosts=["*.a.test", "b.test"])
    state = STATE.absolute()
    added = f"{state}/tokens.toml"
    header, *rows = run("token", "list")
    assert header.split() == ["ID", "RIGHTS", "EXPIRES", "COMMENT", "STORED", "IN"]
    assert [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows] == [
        [own.id, "outside address, the remote's ports and hosts", "never", f"{state}/token"],
        [
            "nas",
            "ports 2222 3000-3999, the remote's hosts, 20 clients, 10Mbit/s",
            "never",
            "my",
            added,
        ],
        [
            "old",
            "outside address, hosts *.a.test b.test",
            "2020-01-31 (expired)",
            added,
        ],
    ]


def test_json_has_no_secrets(run, own):
    hosts = ["*.Example.com"]
    add(
        ports=["2222"],
        hosts=hosts,
        max_clients=20,
        rate="10Mbit",
        comment="nas",
        expires=date(2999, 1, 31),
    )
    text = "\n".join(run("token", "list", "--json"))
    assert SECRET not in text
    assert own.secret not in text
    file = f"{STATE.absolute()}/tokens.toml"
    first, second = json.loads(text)
    assert first == {
        "id": own.id,
        "outside": True,
        "ports": None,
        "hosts": None,
        "max_clients": None,
        "rate": None,
        "expires": None,
        "expired": False,
        "comment": None,
        "file": f"{STATE.absolute()}/token",
        "key": None,
    }
    assert second == {
        "id": "nas",
        "outside": True,
        "ports": ["2222"],
        "hosts": ["*.example.com"],
        "max_clients": 20,
        "rate": "10Mbit",
        "expires": "2999-01-31",
        "expired": False,
        "comment": "nas",
        "file": file,
        "key": None,
    }


def test_no_token_is_a_sentence_or_an_empty_array(run):
    assert run("token", "list") == [f"there is no token in '{STATE.absolute()}'{OTHER_USER}"]
    assert run("token", "list", "--json") == ["[]"]


def test_tokens_of_a_file_replace_the_remotes_own(run, own, config):
    add()
    listed = json.loads("\n".join(run("token", "list", "--json", "--config", config)))
    assert [(each["id"], each["key"]) for each in listed] == [
        ("nas", None),
        ("phone", "token"),
        ("box", None),
    ]
    assert listed[2]["file"] == "tokens"


def test_a_file_may_only_give_rights_to_the_remotes_own(run, own):
    file = write("r.toml", f"[token.{own.id}]\nports = 2222\noutside = false\ncomment = 'mine'")
    (_, row) = run("token", "list", "--config", file)
    assert row.split("  ")[:2] == [own.id, "ports 2222, the remote's hosts"]
    assert "mine" in row


def test_a_terminal_gets_a_table_that_wraps(run, own, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    add(comment="[red]not markup[/red]")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in run("token", "list")]
    assert max(map(len, lines)) <= 60
    assert len(lines) > 3
    assert "[red]" in "".join(lines)


def test_a_damaged_file_is_a_sentence(fail):
    add()
    Path("state/tokens.toml").write_text(f"[token.x]\nsecret = 5\n[token.'a.{SECRET}']")
    assert "has no valid ID" in fail("token", "list")
