"""Name lookups: their answers, and a resolver that hangs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading

import pytest

from quictunnel.session import resolver as lookup
from quictunnel.session.resolver import look_up


@pytest.fixture
def hanging(monkeypatch):
    """A resolver that answers when it is let go, and counts how often it was asked."""
    resolver = type("Resolver", (), {"asked": 0, "let_go": threading.Event()})()

    def getaddrinfo(host, port, **_):
        resolver.asked += 1
        resolver.let_go.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield resolver
    resolver.let_go.set()


def ask():
    return asyncio.ensure_future(look_up("web.example", 80, kind=socket.SOCK_STREAM))


async def test_an_address_is_itself():
    ((_, _, _, _, place),) = await look_up("127.0.0.1", 80, kind=socket.SOCK_DGRAM)
    assert place == ("127.0.0.1", 80)


async def test_a_name_that_leads_nowhere_is_an_error():
    with pytest.raises(socket.gaierror):
        await look_up("nowhere.invalid", 80, kind=socket.SOCK_STREAM)


async def test_many_who_want_the_same_ask_once(hanging):
    questions = [ask() for _ in range(100)]
    await asyncio.sleep(0)
    questions.pop().cancel()  # which is no matter to the others
    hanging.let_go.set()
    answers = await asyncio.gather(*questions)
    assert hanging.asked == 1
    assert {answer[0][4] for answer in answers} == {("192.0.2.1", 80)}


async def test_a_question_that_hangs_for_long_is_asked_anew(hanging, monkeypatch):
    monkeypatch.setattr(lookup, "SHARE_WINDOW", -1)
    questions = [ask(), ask()]
    await asyncio.sleep(0)
    hanging.let_go.set()
    await asyncio.gather(*questions)
    assert hanging.asked == 2


async def test_a_resolver_that_hangs_for_ever_costs_so_many_threads_and_no_more(
    hanging, monkeypatch
):
    monkeypatch.setattr(lookup, "SHARE_WINDOW", -1)
    questions = []
    for _ in range(3 * lookup.MAX_THREADS):
        questions.append(ask())
        await asyncio.sleep(0)
    assert hanging.asked <= lookup.MAX_THREADS
    hanging.let_go.set()
    await asyncio.gather(*questions)
    assert hanging.asked == lookup.MAX_THREADS
    await ask()
    assert hanging.asked == lookup.MAX_THREADS + 1


HANGS = """
import os, socket, threading
def getaddrinfo(host, *_, **__):
    # Not print(): a thread within it when the interpreter ends holds stdout's lock, which aborts.
    os.write(1, f"{host}\\n".encode())
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo
from quictunnel.__main__ import main
main()
"""

ORIGIN = "origin --remote web.example --origin 1"
WEBSOCKET = f"{ORIGIN} --via websocket --websocket wss://socket.example"


@pytest.mark.parametrize(
    ("words", "host"),
    [
        (ORIGIN, "web.example"),
        (WEBSOCKET, "socket.example"),
        (f"{WEBSOCKET} --proxy http://proxy.example:1", "proxy.example"),
        (f"{WEBSOCKET} --proxy socks5h://proxy.example:1", "proxy.example"),
        (f"{WEBSOCKET} --proxy socks5://192.0.2.1:1", "socket.example"),
        ("remote --listen web.example:1 --outside [::]:0", "web.example"),
    ],
)
def test_ctrl_c_ends_a_program_whose_resolver_hangs(words, host, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, *words.split(), "--log-level", "error"],
        env={"QUICTUNNEL_STATE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert f"{host}\n" in process.stdout
            process.send_signal(2)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
