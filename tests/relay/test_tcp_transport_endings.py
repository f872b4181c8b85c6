"""How a socket's transport ends: in order, at once, by a fault, or by the peer's reset."""

from __future__ import annotations

import asyncio
import errno

from relay_doubles import Wire, tcp_pair, until
from transport_owner import Owner, turns

from quictunnel.relay.readiness import FAILED, READABLE, WRITABLE, readiness
from quictunnel.relay.tcp_transport import SocketTransport


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
    SocketTransport(inner, readiness(loop)).attach(owner)
    assert await Wire(outer).sees_reset()
    assert owner.lost == shown
    outer.close()


# A reset that no read reports. In what order the kernel and the loop bring the news
# is chance, so here the test tells it.


async def test_a_reset_is_noticed_while_nothing_is_read(by_hand):
    far, owner = by_hand
    await far.send(b"unread")
    far.reset()
    owner.transport.on_ready(READABLE | FAILED)
    await turns()
    assert [exc.errno for exc in owner.lost] == [errno.ECONNRESET]


async def test_who_reads_has_the_bytes_before_the_reset_first(by_hand):
    far, owner = by_hand
    owner.transport.resume_reading()
    await far.send(b"last words")
    far.reset()
    owner.transport.on_ready(READABLE | FAILED)
    await turns()
    assert owner.data == b"last words"
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_an_eof_before_the_reset_is_no_orderly_end(by_hand):
    """The kernel tells a reader of the EOF alone, although the connection is gone."""
    far, owner = by_hand
    owner.transport.resume_reading()
    far.fin()
    far.reset()
    owner.transport.on_ready(READABLE | FAILED)
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
    owner.transport.on_ready(READABLE | FAILED)
    await turns()
    assert owner.data == b"many"
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_a_reset_is_noticed_while_the_last_bytes_are_written(by_hand):
    far, owner = by_hand
    owner.transport.write(bytes(1_000_000))
    owner.transport.close()
    far.reset()
    owner.transport.on_ready(READABLE | WRITABLE | FAILED)
    await turns()
    assert isinstance(owner.lost[0], ConnectionResetError)


async def test_a_close_does_not_forget_a_reset_that_was_left_to_the_reader(by_hand):
    far, owner = by_hand
    owner.transport.write(bytes(1_000_000))
    owner.data_received = lambda _: owner.transport.close()
    owner.transport.resume_reading()
    await far.send(b"x")
    far.reset()
    owner.transport.on_ready(READABLE | FAILED)
    await turns()
    assert isinstance(owner.lost[0], ConnectionResetError)
