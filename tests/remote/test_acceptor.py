"""Connections from the kernel, a few at a time, and what happens when descriptors are short."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from quictunnel.events import AcceptPaused, Event, discard_event
from quictunnel.remote import acceptor
from quictunnel.remote.acceptor import ACCEPTS_PER_WAKEUP, Acceptor, relayed


class Listening(socket.socket):
    """A listening socket that counts what it gave out, or is short of descriptors."""

    given = 0
    is_short = False

    def accept(self):
        if self.is_short:
            raise OSError(errno.EMFILE, "short")
        accepted = super().accept()
        self.given += 1
        return accepted


class Guest(asyncio.Protocol):
    met = 0
    most_unmet = 0
    all_met: asyncio.Event
    expected = 0
    listening: Listening

    def connection_made(self, transport):
        Guest.most_unmet = max(Guest.most_unmet, self.listening.given - Guest.met)
        Guest.met += 1
        transport.abort()
        if Guest.met == Guest.expected:
            self.all_met.set()


@pytest.fixture
def listening():
    with Listening() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        sock.setblocking(False)
        Guest.met = Guest.most_unmet = 0
        Guest.listening = sock
        Guest.all_met = asyncio.Event()
        yield sock


def callers(sock, count):
    Guest.expected = count
    return [socket.create_connection(sock.getsockname()) for _ in range(count)]


async def test_a_crowd_is_let_in_a_few_at_a_time(listening):
    crowd = callers(listening, 5 * ACCEPTS_PER_WAKEUP)
    door = Acceptor(listening, relayed(Guest), discard_event)
    await Guest.all_met.wait()
    assert Guest.most_unmet <= ACCEPTS_PER_WAKEUP
    door.close()
    for caller in crowd:
        caller.close()


async def test_a_shortage_of_descriptors_is_one_line_and_a_pause(listening, monkeypatch):
    events: list[Event] = []
    monkeypatch.setattr(acceptor, "PAUSE", 0)
    (caller,) = callers(listening, 1)
    listening.is_short = True
    door = Acceptor(listening, relayed(Guest), events.append)
    for _ in range(10):
        await asyncio.sleep(0)
    listening.is_short = False
    await Guest.all_met.wait()
    assert events == [AcceptPaused(reason="Too many open files")]
    door.close()
    caller.close()


async def test_nobody_is_let_in_after_the_end_not_even_after_a_pause(listening, monkeypatch):
    monkeypatch.setattr(acceptor, "PAUSE", 0)
    (caller,) = callers(listening, 1)
    listening.is_short = True
    door = Acceptor(listening, relayed(Guest), discard_event)
    for _ in range(10):
        await asyncio.sleep(0)
    door.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert Guest.met == 0
    with pytest.raises(ConnectionResetError):
        caller.recv(1)
    caller.close()
