"""The watch over sockets that nobody reads."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
from relay_doubles import Wire, tcp_pair, until

from quictunnel.relay.watch import error_watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs epoll")


@pytest.fixture
async def watched():
    """The far end of a connection, its near end, and the errors noticed there."""
    outer, inner = tcp_pair()
    watch = error_watch(asyncio.get_running_loop())
    noticed = []
    watch.add(inner.fileno(), lambda: noticed.append(inner))
    yield Wire(outer), inner, noticed
    watch.remove(inner.fileno())
    outer.close()
    inner.close()


async def test_a_reset_is_noticed_and_the_error_left_in_place(watched):
    far, near, noticed = watched
    far.reset()
    await until(lambda: noticed)
    assert noticed == [near]
    with pytest.raises(ConnectionResetError):
        near.recv(1)


async def test_a_reset_is_noticed_behind_unread_bytes(watched):
    far, near, noticed = watched
    await far.send(b"unread")
    far.reset()
    await until(lambda: noticed)
    assert near.recv(100) == b"unread"


async def test_a_reset_before_the_watch_began_is_noticed():
    outer, inner = tcp_pair()
    Wire(outer).reset()
    noticed = []
    watch = error_watch(asyncio.get_running_loop())
    watch.add(inner.fileno(), lambda: noticed.append(True))
    await until(lambda: noticed)
    watch.remove(inner.fileno())
    inner.close()


async def test_bytes_and_orderly_ends_are_nothing_to_it(watched):
    """Nor do they keep the loop awake: EPOLLHUP is reported once."""
    far, near, noticed = watched
    await far.send(b"unread")
    far.fin()
    near.shutdown(socket.SHUT_WR)
    for _ in range(50):
        await asyncio.sleep(0)
    assert noticed == []
    wake_ups = error_watch(asyncio.get_running_loop())._epoll.poll(0)
    assert wake_ups == []


async def test_it_holds_no_file_without_sockets():
    watch = error_watch(asyncio.get_running_loop())
    pairs = [tcp_pair() for _ in range(3)]
    for _, inner in pairs:
        watch.add(inner.fileno(), lambda: None)
    assert watch._epoll is not None
    for outer, inner in pairs:
        watch.remove(inner.fileno())
        outer.close()
        inner.close()
    assert watch._epoll is None


async def test_removing_what_is_not_there_is_nothing():
    error_watch(asyncio.get_running_loop()).remove(12345)


async def test_one_callback_may_end_another_connection():
    """Both are reset in one wake-up; the first one's end takes the second away."""
    watch = error_watch(asyncio.get_running_loop())
    pairs = [tcp_pair() for _ in range(2)]
    noticed = []

    def notice(other):
        noticed.append(other)
        watch.remove(other)

    fds = [inner.fileno() for _, inner in pairs]
    for fd, other in zip(fds, reversed(fds), strict=True):
        watch.add(fd, lambda other=other: notice(other))
    for outer, _ in pairs:
        Wire(outer).reset()
    await until(lambda: noticed)
    assert len(noticed) == 1
    for _, inner in pairs:
        watch.remove(inner.fileno())
        inner.close()
