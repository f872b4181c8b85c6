"""Readiness of sockets: each event is reported once, on Linux even if it is not wanted."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
from relay_doubles import Wire, tcp_pair, until

from quictunnel.relay.readiness import (
    FAILED,
    HUNG_UP,
    READABLE,
    WRITABLE,
    LoopReadiness,
    readiness,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs epoll")


class Listener:
    """Hears what happens to a socket."""

    def __init__(self, action=lambda: None) -> None:
        self.heard: list[int] = []
        self.broke: list[Exception] = []
        self._action = action

    def on_ready(self, events):
        self.heard.append(events)
        self._action()

    def on_error(self, exc):
        self.broke.append(exc)


@pytest.fixture
async def watched():
    """The far end of a connection, its near end, and what is heard there."""
    outer, inner = tcp_pair()
    listener = Listener()
    readiness(asyncio.get_running_loop()).add(inner.fileno(), listener)
    await until(lambda: listener.heard)
    assert listener.heard == [WRITABLE]
    listener.heard.clear()
    yield Wire(outer), inner, listener
    readiness(asyncio.get_running_loop()).remove(inner.fileno())
    outer.close()
    inner.close()


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_bytes_are_told_once_though_nobody_reads_them(watched):
    far, _, listener = watched
    await far.send(b"unread")
    await turns()
    assert listener.heard == [READABLE | WRITABLE]
    await far.send(b"more")
    await turns()
    assert listener.heard == [READABLE | WRITABLE] * 2


async def test_a_reset_is_told_and_the_error_left_in_place(watched):
    far, near, listener = watched
    far.reset()
    await until(lambda: listener.heard)
    assert listener.heard[0] & FAILED
    with pytest.raises(ConnectionResetError):
        near.recv(1)


async def test_a_reset_is_told_behind_unread_bytes(watched):
    far, near, listener = watched
    await far.send(b"unread")
    far.reset()
    await until(lambda: listener.heard and listener.heard[-1] & FAILED)
    assert near.recv(100) == b"unread"


async def test_a_reset_before_all_else_is_told():
    outer, inner = tcp_pair()
    Wire(outer).reset()
    listener = Listener()
    readiness(asyncio.get_running_loop()).add(inner.fileno(), listener)
    await until(lambda: listener.heard)
    assert listener.heard[0] & FAILED
    readiness(asyncio.get_running_loop()).remove(inner.fileno())
    inner.close()


async def test_an_orderly_end_is_told_once_and_is_no_failure(watched):
    """An unread event does not keep the loop awake."""
    far, near, listener = watched
    await far.send(b"unread")
    far.fin()
    near.shutdown(socket.SHUT_WR)
    await turns()
    assert 1 <= len(listener.heard) <= 3
    assert listener.heard[-1] & HUNG_UP
    assert not any(events & FAILED for events in listener.heard)
    assert readiness(asyncio.get_running_loop())._epoll.poll(0) == []


async def test_who_is_removed_hears_nothing_more(watched):
    far, _, listener = watched
    loop = asyncio.get_running_loop()
    await far.send(b"x")
    readiness(loop).read_again_soon(listener)
    readiness(loop).remove(watched[1].fileno())
    await turns()
    assert listener.heard == []
    readiness(loop).replace_handler(watched[1].fileno(), listener)  # for the fixture to remove


async def test_one_may_end_another_that_has_news_too():
    """Both are reset in one wake-up; the first one's end takes the second away."""
    here = readiness(asyncio.get_running_loop())
    pairs = [tcp_pair() for _ in range(2)]
    fds = [inner.fileno() for _, inner in pairs]
    heard = []
    for fd, other in zip(fds, reversed(fds), strict=True):
        listener = Listener(lambda fd=fd, other=other: (here.remove(other), heard.append(fd)))
        here.add(fd, listener)
    for outer, _ in pairs:
        Wire(outer).reset()
    await turns()
    assert len(heard) == 1
    here.remove(heard[0])
    for _, inner in pairs:
        inner.close()


async def test_who_fails_keeps_nobody_from_the_news():
    here = readiness(asyncio.get_running_loop())
    pairs = [tcp_pair() for _ in range(2)]
    listeners = [Listener(lambda: 1 / 0) for _ in pairs]
    for (_, inner), listener in zip(pairs, listeners, strict=True):
        here.add(inner.fileno(), listener)
    await turns()
    for (outer, inner), listener in zip(pairs, listeners, strict=True):
        assert listener.heard
        assert isinstance(listener.broke[0], ZeroDivisionError)
        here.remove(inner.fileno())
        outer.close()
        inner.close()


async def test_again_is_in_the_next_turn_and_once(watched):
    _, _, listener = watched
    here = readiness(asyncio.get_running_loop())
    here.read_again_soon(listener)
    here.read_again_soon(listener)
    assert listener.heard == []
    await turns()
    assert listener.heard == [READABLE]


def test_each_loop_has_its_own_for_its_life():
    async def mine():
        loop = asyncio.get_running_loop()
        assert readiness(loop) is readiness(loop)
        return readiness(loop)

    first = asyncio.run(mine())
    assert asyncio.run(mine()) is not first


# Where there is no epoll


@pytest.fixture
async def by_loop():
    """The same, by the loop's readers and writers."""
    outer, inner = tcp_pair()
    listener = Listener()
    here = LoopReadiness(asyncio.get_running_loop())
    here.add(inner.fileno(), listener)
    yield Wire(outer), inner, listener, here
    here.remove(inner.fileno())
    outer.close()
    inner.close()


async def test_by_the_loop_only_what_is_wanted_is_told(by_loop):
    far, near, listener, here = by_loop
    await far.send(b"bytes")
    await turns()
    assert listener.heard == []
    here.want_reading(near.fileno(), wanted=True)
    await until(lambda: listener.heard)
    here.want_reading(near.fileno(), wanted=False)
    here.want_writing(near.fileno(), wanted=True)
    await until(lambda: WRITABLE in listener.heard)
    here.want_writing(near.fileno(), wanted=False)
    assert set(listener.heard) == {READABLE, WRITABLE}
    count = len(listener.heard)
    await turns()
    assert len(listener.heard) == count
