"""A socket as a transport: what it reads and writes, when, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
from relay_doubles import Wire, tcp_pair, until

from quictunnel.relay import SocketTransport, readiness
from quictunnel.relay.readiness import FAILED, READABLE, WRITABLE, LoopReadiness
from quictunnel.relay.transport import HIGH_WATER, READ_SIZE, READ_SIZE_BULK


class Owner(asyncio.Protocol):
    """Takes all that comes, and remembers what it was told."""

    def __init__(self) -> None:
        self.data = b""
        self.pieces: list[int] = []
        self.ended = False
        self.paused = False
        self.lost: list[Exception | None] = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.pieces.append(len(data))

    def eof_received(self):
        self.ended = True
        return True

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False

    def connection_lost(self, exc):
        self.lost.append(exc)


@pytest.fixture(params=["epoll", "loop"])
async def joined(request):
    """The far end of a connection, and the owner of its near end; by both kinds of readiness."""
    kind = {"epoll": readiness, "loop": LoopReadiness}[request.param]
    async for pair in _join(kind(asyncio.get_running_loop())):
        yield pair


@pytest.fixture
async def by_hand():
    """The same, where only the test tells what has happened to the socket."""
    async for far, owner in _join(readiness(asyncio.get_running_loop())):
        await turns()  # that there is room to write has been told by then
        owner.transport._readiness._epoll.unregister(owner.transport._fd)
        yield far, owner


async def _join(by):
    outer, inner = tcp_pair(small=True)
    owner = Owner()
    far = Wire(outer)
    SocketTransport(inner, by).begin(owner)
    yield far, owner
    owner.transport.abort()
    await until(lambda: owner.lost)
    assert len(owner.lost) == 1
    far.close()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


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
    SocketTransport(inner, readiness(asyncio.get_running_loop())).begin(owner)
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
    owner.transport.ready(READABLE)
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
    owner.transport.ready(READABLE | WRITABLE)
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


# Endings


async def test_a_close_writes_out_what_waits_and_ends_in_order(joined):
    far, owner = joined
    owner.transport.write(bytes(1_000_000))
    owner.transport.close()
    owner.transport.close()
    assert owner.transport.is_closing()
    owner.transport.write(b"late")
    assert await far.receive_to_fin() == bytes(1_000_000)
    await until(lambda: owner.lost == [None])


async def test_nothing_is_read_of_what_closes(joined):
    far, owner = joined
    owner.transport.resume_reading()
    owner.transport.write(bytes(1_000_000))
    owner.transport.close()
    await far.send(b"for nobody")
    await turns()
    assert owner.data == b""
    assert not owner.transport.is_reading()
    owner.transport.resume_reading()
    assert not owner.transport.is_reading()


async def test_an_abort_resets_and_is_told_later(joined):
    far, owner = joined
    owner.transport.write(bytes(1_000_000))
    owner.transport.abort()
    assert owner.lost == []
    assert owner.transport.get_write_buffer_size() == 0
    assert await far.sees_reset()
    assert owner.lost == [None]


async def test_a_reset_is_met_by_who_reads_behind_the_bytes_before_it(joined):
    far, owner = joined
    await far.send(b"last words")
    far.reset()
    owner.transport.resume_reading()
    await until(lambda: owner.lost)
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_a_reset_is_met_by_who_writes(joined):
    far, owner = joined
    far.reset()
    owner.transport.write(b"x")
    owner.transport.write(b"x")
    await until(lambda: owner.lost)
    assert isinstance(owner.lost[0], (ConnectionResetError, BrokenPipeError))


async def test_a_reset_is_met_at_the_orderly_end(joined):
    far, owner = joined
    far.reset()
    owner.transport.close()
    await until(lambda: owner.lost)
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_a_protocol_that_raises_ends_its_connection_alone_and_is_shown(joined):
    far, owner = joined
    shown = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: shown.append(context["exception"]))
    owner.data_received = lambda _: 1 / 0
    owner.transport.resume_reading()
    await far.send(b"x")
    assert await far.sees_reset()
    assert [type(exc) for exc in shown] == [ZeroDivisionError]
    assert owner.lost == shown


async def test_a_protocol_that_raises_at_the_beginning_is_shown_too():
    outer, inner = tcp_pair()
    shown = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: shown.append(context["exception"]))
    owner = Owner()
    owner.connection_made = lambda _: 1 / 0
    SocketTransport(inner, readiness(loop)).begin(owner)
    assert await Wire(outer).sees_reset()
    assert owner.lost == shown
    outer.close()


# A reset that is noticed by nobody's reading. In what order the kernel and the loop bring the news
# is chance, so here the test tells it.


async def test_a_reset_is_noticed_while_nothing_is_read(by_hand):
    far, owner = by_hand
    await far.send(b"unread")
    far.reset()
    owner.transport.ready(READABLE | FAILED)
    await turns()
    assert [exc.errno for exc in owner.lost] == [errno.ECONNRESET]


async def test_who_reads_has_the_bytes_before_the_reset_first(by_hand):
    far, owner = by_hand
    owner.transport.resume_reading()
    await far.send(b"last words")
    far.reset()
    owner.transport.ready(READABLE | FAILED)
    await turns()
    assert owner.data == b"last words"
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_an_eof_before_the_reset_is_no_orderly_end(by_hand):
    """The kernel tells a reader of the EOF alone, although the connection is gone."""
    far, owner = by_hand
    owner.transport.resume_reading()
    far.fin()
    far.reset()
    owner.transport.ready(READABLE | FAILED)
    await turns()
    assert not owner.ended
    assert isinstance(owner.lost[0], ConnectionError)


async def test_back_pressure_does_not_make_the_reset_wait(by_hand):
    """The reader was to meet it behind the bytes before it, and is paused before it gets there."""
    far, owner = by_hand
    owner.transport.read_size = 4
    owner.data_received = lambda data: (
        Owner.data_received(owner, data),
        owner.transport.pause_reading(),
    )
    owner.transport.resume_reading()
    await far.send(b"many bytes")
    far.reset()
    owner.transport.ready(READABLE | FAILED)
    await turns()
    assert owner.data == b"many"
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_a_reset_is_noticed_while_the_last_bytes_are_written(by_hand):
    far, owner = by_hand
    owner.transport.write(bytes(1_000_000))
    owner.transport.close()
    far.reset()
    owner.transport.ready(READABLE | WRITABLE | FAILED)
    await turns()
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_a_close_does_not_forget_a_reset_that_was_left_to_the_reader(by_hand):
    far, owner = by_hand
    owner.transport.write(bytes(1_000_000))
    owner.data_received = lambda _: owner.transport.close()
    owner.transport.resume_reading()
    await far.send(b"x")
    far.reset()
    owner.transport.ready(READABLE | FAILED)
    await turns()
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_its_facts():
    outer, inner = tcp_pair()
    owner = Owner()
    it = SocketTransport(inner, readiness(asyncio.get_running_loop()), peer=("192.0.2.7", 5))
    it.begin(owner)
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
