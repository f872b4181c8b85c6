"""A socket as a transport: what it reads and writes, and when."""

from __future__ import annotations

import asyncio
import socket

import pytest
from relay_doubles import Wire, tcp_pair, until
from transport_owner import Owner, turns

from quictunnel.relay.readiness import READABLE, WRITABLE, readiness
from quictunnel.relay.tcp_transport import HIGH_WATER, READ_SIZE, READ_SIZE_BULK, SocketTransport

# Reading


async def test_nothing_is_read_before_it_is_asked_for(joined):
    far, owner = joined
    await far.send(b"early")
    await turns()
    assert owner.data == b""
    assert not owner.transport.is_reading()
    owner.transport.resume_reading()
    await until(lambda: owner.data == b"early")


async def test_nothing_is_read_while_it_is_paused(joined):
    far, owner = joined
    owner.transport.resume_reading()
    await far.send(b"one")
    await until(lambda: owner.data == b"one")
    owner.transport.pause_reading()
    await far.send(b"two")
    await turns()
    assert owner.data == b"one"
    owner.transport.resume_reading()
    await until(lambda: owner.data == b"onetwo")


async def test_a_pause_within_the_reading_is_kept(joined):
    far, owner = joined
    owner.data_received = lambda data: (
        Owner.data_received(owner, data),
        owner.transport.pause_reading(),
    )
    await far.send(b"bytes")
    far.fin()
    owner.transport.resume_reading()
    await until(lambda: owner.data == b"bytes")
    await turns()
    assert not owner.ended
    owner.transport.resume_reading()
    await until(lambda: owner.ended)


async def test_an_eof_is_told_once_whatever_is_paused_and_resumed(joined):
    far, owner = joined
    told = []
    owner.eof_received = lambda: told.append(True) or True
    owner.transport.resume_reading()
    far.fin()
    await until(lambda: told)
    owner.transport.pause_reading()
    owner.transport.resume_reading()
    await turns()
    assert told == [True]
    assert not owner.transport.is_closing()


async def test_an_eof_that_nobody_keeps_the_connection_for_closes_it(joined):
    far, owner = joined
    owner.eof_received = lambda: False
    owner.transport.resume_reading()
    far.fin()
    assert await far.receive() == b""
    await until(lambda: owner.lost == [None])


async def test_who_sends_much_is_read_in_large_pieces(monkeypatch):
    outer, inner = tcp_pair()
    owner = Owner()
    SocketTransport(inner, readiness(asyncio.get_running_loop())).attach(owner)
    await Wire(outer).fill()
    owner.transport.resume_reading()
    await until(lambda: sum(owner.pieces) > READ_SIZE_BULK)
    assert owner.pieces[0] == READ_SIZE
    assert max(owner.pieces) > READ_SIZE
    assert owner.transport.read_size == READ_SIZE_BULK or owner.pieces[-1] < READ_SIZE
    owner.transport.abort()
    await until(lambda: owner.lost)
    outer.close()


async def test_who_sends_little_is_read_in_small_pieces_once_more(by_hand):
    far, owner = by_hand
    owner.transport.read_size = READ_SIZE_BULK
    owner.transport.resume_reading()
    await far.send(b"little")
    owner.transport.on_ready(READABLE)
    assert owner.transport.read_size == READ_SIZE


async def test_a_size_that_was_asked_for_is_kept_to(joined):
    far, owner = joined
    owner.transport.read_size = 100
    owner.transport.resume_reading()
    await far.send(bytes(1000))
    await until(lambda: len(owner.data) == 1000)
    assert max(owner.pieces) == 100


async def test_news_of_nothing_is_nothing(by_hand):
    _, owner = by_hand
    owner.transport.resume_reading()
    owner.transport.on_ready(READABLE | WRITABLE)
    assert owner.data == b""
    assert not owner.transport.is_closing()


# Writing


async def test_what_the_kernel_does_not_take_waits_and_is_written_in_order(joined):
    far, owner = joined
    sent = b""
    for number in range(200):
        piece = bytes([number]) * 5000
        owner.transport.write(piece)
        sent += piece
    assert owner.paused
    assert owner.transport.get_write_buffer_size() > HIGH_WATER
    assert await far.receive_exactly(len(sent)) == sent
    await until(lambda: not owner.paused)
    assert owner.transport.get_write_buffer_size() == 0


async def test_what_was_written_may_be_changed_by_its_owner(joined):
    far, owner = joined
    data = bytearray(b"a" * 1_000_000)
    owner.transport.write(data)
    owner.transport.write(memoryview(data)[:10])
    data[:] = b"b" * len(data)
    assert await far.receive_exactly(1_000_010) == b"a" * 1_000_010


async def test_an_eof_is_sent_behind_all_that_was_written(joined):
    far, owner = joined
    owner.transport.write(bytes(1_000_000))
    owner.transport.write_eof()
    owner.transport.write_eof()
    assert await far.receive_to_fin() == bytes(1_000_000)
    with pytest.raises(RuntimeError):
        owner.transport.write(b"late")
    await far.send(b"still here")
    owner.transport.resume_reading()
    await until(lambda: owner.data == b"still here")


async def test_nothing_at_all_is_written_as_nothing(joined):
    _, owner = joined
    owner.transport.write(b"")
    assert owner.transport.get_write_buffer_size() == 0
    assert owner.transport.can_write_eof()


async def test_the_waters_are_asyncios(joined):
    _, owner = joined
    assert owner.transport.get_write_buffer_limits() == (HIGH_WATER // 4, HIGH_WATER)


# Facts


async def test_its_facts():
    outer, inner = tcp_pair()
    owner = Owner()
    it = SocketTransport(inner, readiness(asyncio.get_running_loop()), peer=("192.0.2.7", 5))
    it.attach(owner)
    assert it.get_protocol() is owner
    assert it.get_extra_info("socket") is inner
    assert it.get_extra_info("peername") == ("192.0.2.7", 5)
    assert it.get_extra_info("sockname") == inner.getsockname()
    assert it.get_extra_info("cipher", "none") == "none"
    assert repr(it) == f"<SocketTransport fd={inner.fileno()}>"
    it._peer = None
    assert it.get_extra_info("peername") == outer.getsockname()
    Wire(outer).reset()
    await until(lambda: owner.lost)
    with socket.socket() as never_connected:
        it._sock = never_connected
        assert it.get_extra_info("peername") is None
