"""`quictunnel clients`."""

from __future__ import annotations

import json

import pytest
from fake_role import client

from quictunnel.cli import clients as command
from quictunnel.cli.main import invoke


@pytest.fixture
def clients(role, role_socket, run):
    """Runs the command successfully, and returns its lines."""
    return lambda *words: run("clients", "--socket", str(role_socket), *words)


def ids(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines[1:]]


def test_the_oldest_client_is_the_first(clients):
    header, *rows = clients()
    assert header.split()[:5] == ["ID", "CLIENT", "SERVICE", "ORIGIN", "STATE"]
    assert [row.split()[:5] for row in rows] == [
        ["c1", "198.51.100.1:40000", "web", "laptop", "open"],
        ["c2", "198.51.100.2:40000", "web", "laptop", "open"],
    ]


def test_another_order(clients, role):
    role.clients = [
        client(1, rate_down=9_000, bytes_up=1, bytes_down=1, service="b"),
        client(2, rate_down=90_000, service="c"),
        client(3, bytes_down=9_000_000, service="a", address="2.2.2.2:1"),
    ]
    assert ids(clients("--sort", "rate")) == ["c2", "c1", "c3"]
    assert ids(clients("--sort", "bytes")) == ["c3", "c2", "c1"]
    assert ids(clients("--sort", "service")) == ["c3", "c1", "c2"]
    assert ids(clients("--sort", "address")) == ["c1", "c2", "c3"]


def test_the_clients_of_a_service(clients, role):
    role.clients.append(client(3, service="ssh"))
    assert ids(clients("--service", "ssh")) == ["c3"]
    assert clients("--service", "\x1b") == ["there is no client of the service \\x1b"]


def test_no_client(clients, role):
    role.clients.clear()
    assert clients() == ["there is no client"]
    assert clients("--json") == ["[]"]


def test_all_pages_are_read(clients, role, monkeypatch):
    monkeypatch.setattr(command, "PAGE", 3)
    role.clients = [client(number) for number in range(1, 9)]
    assert ids(clients()) == [f"c{number}" for number in range(1, 9)]
    assert len(role.requests) == 3


def test_json_has_exact_numbers(clients):
    found = json.loads("\n".join(clients("--json", "--service", "web")))
    assert found == [client(1), client(2)]


def test_clients_are_closed(clients, role):
    assert clients("--close", "c1", "--close", "c2") == ["closed c1", "closed c2"]
    assert role.clients == []


def test_a_client_that_is_not_there_is_exit_code_1(role, role_socket, capsys):
    words = ["clients", "--socket", str(role_socket), "--close", "../c\x1b", "--close", "c1"]
    assert invoke(words) == 1
    assert capsys.readouterr() == (
        "closed c1\n",
        "quictunnel: client ../c\\x1b: there is no client ../c\\x1b\n",
    )


@pytest.mark.parametrize("words", [["--json"], ["--service", "web"]])
def test_closing_lists_nothing(fail, role, role_socket, words):
    line = fail("clients", "--socket", str(role_socket), "--close", "c1", *words)
    assert "--close closes the clients that it names; it lists none" in line
    assert len(role.clients) == 2
