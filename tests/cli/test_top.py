"""`quictunnel top`: its screen, its keys, and the terminal that it leaves as it was."""

from __future__ import annotations

import signal
import sys

import msgspec
import pytest
from fake_role import LINK, SERVICE, STATUS, client

from quictunnel.admin.answers import ClientEntry, ClientPage, LinkEntry, Status
from quictunnel.cli.top_position import TopPosition
from quictunnel.cli.top_screen import KEYS, TopView, screen
from quictunnel.snapshots import ServiceSnapshot
from testkit.programs import QUICTUNNEL
from testkit.terminal import TerminalProgram

CLEAR = "\x1b[?1049l"
"""Leaves the alternate screen."""


def view(*, clients=50, total=None, services=1, links=1, offset=0, has_keys=True, **status):
    rows = [client(number) for number in range(offset + 1, offset + clients + 1)]
    page = ClientPage(total or clients, msgspec.convert(rows, list[ClientEntry]))
    return TopView(
        msgspec.convert(STATUS | status, Status),
        [msgspec.convert(SERVICE, ServiceSnapshot)] * services,
        [msgspec.convert(LINK, LinkEntry)] * links,
        page,
        offset,
        "rate",
        has_keys,
    )


def lines(of: TopView, width=100, height=24) -> list[str]:
    return [line.plain for line in screen(of, width, height)]


def test_a_screen_is_full_of_clients():
    shown = lines(view(total=1234, offset=100))
    assert len(shown) == 24
    assert shown[0] == "remote [::]:9001: ready  up 1d4h, version 1.2.3"
    assert [line.split()[0] for line in shown[2:9] if line] == [
        "SERVICE",
        "web",
        "LINK",
        "laptop",
        "clients",
    ]
    assert shown[8] == "clients 101-113 of 1,234, by rate"
    assert [line.split()[0] for line in shown[10:23]] == [f"c{each}" for each in range(101, 114)]
    assert shown[23] == KEYS


def test_a_screen_without_keys_has_one_client_more():
    assert lines(view(has_keys=False))[23].startswith("c14 ")


def test_a_screen_without_clients_links_and_services():
    shown = lines(view(clients=0, services=0, links=0, is_ready=False, reason="no link"))
    assert shown[0].startswith("remote [::]:9001: not ready: no link  up")
    assert [line for line in shown[1:] if line] == ["no clients", KEYS]


def test_many_services_and_links_leave_room_for_clients():
    shown = lines(view(services=40, links=40), height=40)
    assert sum(line.startswith("web ") for line in shown) == 7
    assert sum(line.startswith("laptop ") for line in shown) == 7
    assert shown.count("... 33 more") == 2
    assert sum(line.startswith("c") for line in shown) > 10


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 8, 12, 50])
def test_a_screen_fits_on_every_terminal(width, height):
    shown = lines(view(services=20, links=20), width, height)
    assert len(shown) <= height
    assert max(map(len, shown)) <= width


def test_a_low_terminal_shows_clients():
    assert [line.split()[0] for line in lines(view(), height=8)[3:7]] == ["ID", "c1", "c2", "c3"]


def test_text_of_peers_is_escaped_on_the_screen():
    odd = view(clients=1)
    (entry,) = odd.clients.clients
    odd.clients.clients[0] = msgspec.convert(
        msgspec.to_builtins(entry) | {"service": "\x1b[2J", "id": "漢字"}, ClientEntry
    )
    shown = lines(odd, height=40)
    assert "\\x1b[2J" in "".join(shown)
    assert "\x1b" not in "".join(shown)


def test_keys_move_in_the_list():
    position = TopPosition()
    assert position.press("down", rows=10)
    assert position.press("page down", rows=10)
    assert position.offset == 11
    assert position.press("up", rows=10)
    assert position.press("page up", rows=20)
    assert position.offset == 0
    position.press("page down", rows=10)
    assert position.press("home", rows=10)
    assert position.offset == 0
    assert not position.press("x", rows=10)


def test_keys_change_the_order():
    position = TopPosition()
    assert position.order == "rate"
    position.press("down", rows=10)
    position.press("right", rows=10)
    assert (position.order, position.offset) == ("bytes", 0)
    position.press("left", rows=10)
    position.press("left", rows=10)
    assert position.order == "age"
    position.press("left", rows=10)
    assert position.order == "address"


def test_the_list_may_become_shorter_than_the_place_in_it():
    position = TopPosition()
    position.press("page down", rows=10)
    assert not position.limit(11)
    assert position.limit(5)
    assert position.offset == 4
    assert position.limit(0)
    assert position.offset == 0
    assert not position.limit(0)


@pytest.fixture
def top(role, role_socket):
    """Runs the program on a terminal."""
    role.clients = [client(number) for number in range(1, 60)]
    with TerminalProgram([QUICTUNNEL, "top", "--socket", role_socket], lines=20) as program:
        program.wait_for("clients 1-")
        yield program


def test_keys_change_the_screen(top):
    assert not top.echoes
    top.press("\x1b[B")
    top.wait_for(r"clients 2-\d+ of 59, by rate")
    top.press("\x1b[C")
    top.wait_for(r"clients 1-\d+ of 59, by bytes")
    top.resize(60, 12)
    assert "STATE  AGE" not in "".join(top.wait_for("clients 1-4 "))
    top.press("q")
    assert top.wait() == 0
    assert top.echoes
    assert top.shown.endswith(CLEAR)


def test_the_screen_is_updated(top, role):
    role.clients[:] = [client(77)]
    top.wait_for("clients 1-1 of 1")
    top.wait_for("^c77 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(top, number):
    top.signal(number)
    assert top.wait() == 0
    assert top.echoes
    assert top.shown.endswith(CLEAR)


def test_the_end_of_the_role_restores_the_terminal(top, role, role_socket):
    role.close()
    role_socket.unlink()
    assert top.wait() == 3
    assert top.echoes
    sentence = top.shown.rpartition(CLEAR)[2].strip()
    assert sentence.startswith("quictunnel: the role at ")
    assert sentence.endswith("does not run: no such file or directory")


def test_without_a_terminal_it_prints_once(run, role, role_socket):
    found = run("top", "--socket", str(role_socket))
    assert found[0] == "remote [::]:9001: ready"
    assert [line.split()[0] for line in found if line][1:] == [
        "SERVICE",
        "web",
        "LINK",
        "laptop",
        "ID",
        "c2",
        "c1",
    ]


def test_a_terminal_that_cannot_move_the_cursor_gets_it_once(role, role_socket):
    command = [sys.executable, "-m", "quictunnel", "top", "--socket", role_socket]
    with TerminalProgram(command, TERM="dumb") as program:
        assert program.wait() == 0
        assert "laptop" in program.shown
        assert "\x1b" not in program.shown
