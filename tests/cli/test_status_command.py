"""`quictunnel status`."""

from __future__ import annotations

import json
import re

import pytest
from fake_role import LINK, SERVICE, STATUS

from quictunnel.cli.main import invoke


@pytest.fixture
def status(role, role_socket, capsys):
    """Runs the command, and returns its exit code and its lines."""

    def status(*words: str) -> tuple[int, list[str]]:
        code = invoke(["status", "--socket", str(role_socket), *words])
        out, err = capsys.readouterr()
        assert not err
        return code, out.splitlines()

    return status


def test_a_role_that_is_ready(status):
    code, lines = status()
    assert code == 0
    assert lines == [
        "remote [::]:9001: ready",
        "  version   1.2.3, engine quinn",
        "  process   123, running for 1d4h",
        "  listens   udp [::]:9001, tcp [::]:9000",
        "  clients   2 of at most 4096",
        "  traffic   up 1.00 Mbit/s, down 100 Mbit/s",
        "",
        "SERVICE  STATE  CLIENTS  WHERE                     ORIGIN",
        "web      up           2  https://www.example.com/  laptop",
        "",
        "LINK    PEER               STATE  PATH    RTT   LOSS           UP        DOWN"
        "  CLIENTS    AGE  PROGRAM",
        "laptop  203.0.113.7:50122  up     udp   23 ms  1.2 %  1.00 Mbit/s  100 Mbit/s"
        "        2  1m30s  quictunnel/1.2.3",
    ]


def test_why_a_link_is_not_on_udp(status, role):
    probe = "192.0.2.1:9001 does not answer"
    moved = {"path": "websocket", "path_reason": "UDP does not answer", "udp_probe": probe}
    role.answers["links"] = {"links": [LINK | moved, LINK]}
    _, lines = status()
    assert lines[6:8] == [
        f"  path      websocket, because UDP does not answer; last UDP probe: {probe}",
        "",
    ]
    assert [line.split()[3] for line in lines[-2:]] == ["websocket", "udp"]


def test_a_role_that_is_not_ready(status, role):
    role.answers["status"] = STATUS | {
        "role": "origin",
        "name": "box",
        "addresses": ["vps.example.com:9001"],
        "is_ready": False,
        "reason": "the link does not answer",
        "unread_bytes": 5000,
    }
    role.answers["services"] = {"services": []}
    role.answers["links"] = {"links": []}
    code, lines = status()
    assert code == 1
    assert lines[0] == "origin box: not ready: the link does not answer"
    assert lines[3] == "  remote    vps.example.com:9001"
    assert lines[6:] == ["  unread    5.00 kB"]


def test_json_has_the_services_and_the_links(status, role):
    code, lines = status("--json")
    assert code == 0
    expected = {name: value for name, value in STATUS.items() if name != "later"}
    link = {name: value for name, value in LINK.items() if name not in ("history", "changes")}
    assert json.loads("\n".join(lines)) == expected | {"services": [SERVICE], "links": [link]}
    role.answers["status"] = STATUS | {"is_ready": False, "reason": "no"}
    assert status("--json")[0] == 1


def test_text_of_peers_is_escaped(status, role):
    role.answers["status"] = STATUS | {"is_ready": False, "reason": "\x1b[2J", "name": "\x1b]0;"}
    role.answers["links"] = {"links": [LINK | {"origin": "\x1b[31m"}]}
    for words in ([], ["--json"]):
        assert "\x1b" not in "".join(status(*words)[1])


@pytest.mark.parametrize(("no_color", "has_colour"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_no_color_is_set(status, monkeypatch, no_color, has_colour):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", no_color)
    _, lines = status()
    assert ("\x1b[32mready\x1b[0m" in lines[0]) == has_colour
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert max(map(len, plain[6:])) <= 60
    assert "PROGRAM" not in "".join(plain)
