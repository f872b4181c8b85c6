"""A WebSocket as a path: order, drops, pings, stalls, and its end, on a virtual clock."""

from __future__ import annotations

import asyncio

from websocket_doubles import FakeTls, FakeTransport, RecordingHandler

from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.path.datagram_queue import MAX_AGE, MAX_BYTES
from quictunnel.quic.path.websocket_frames import MAX_DATAGRAM, FrameEncoder
from quictunnel.quic.path.websocket_path import (
    CHECK_INTERVAL,
    LINGER,
    MAX_WRITE,
    MIN_WRITE,
    PING_INTERVAL,
    STALL_TIMEOUT,
    WebSocketPath,
)
from testkit.clock import seconds, settle, virtual_time

PEER = FrameEncoder(masks=True)
"""Encodes what the client sends to the paths here."""

PING = b"\x89\x00"


def new_path(transport=None, received=b""):
    """Return a path of the accepting end, its transport and its handler."""
    transport = transport or FakeTransport()
    path = WebSocketPath(transport, is_client=False, received=received)
    path.handler = handler = RecordingHandler()
    return path, transport, handler


@virtual_time
async def test_datagrams_travel_both_ways():
    path, transport, handler = new_path()
    path.send([b"one", b"two"])
    path.send([b"three"])
    assert transport.sent_by(masked=False)[0] == [b"one", b"two", b"three"]
    path.data_received(PEER.datagrams([b"four", b"five"]))
    assert handler.datagrams == [b"four", b"five"]
    assert path.kind is PathKind.WEBSOCKET
    assert path.queued == 0
    path.close()


@virtual_time
async def test_it_reads_nothing_before_it_has_a_handler():
    transport = FakeTransport()
    path = WebSocketPath(transport, is_client=False, received=PEER.datagrams([b"early"]))
    await settle()
    assert not transport.is_reading
    path.handler = handler = RecordingHandler()
    assert handler.datagrams == [], "the owner is not called from within its own call"
    await settle()
    assert handler.datagrams == [b"early"]
    assert transport.is_reading
    path.close()


@virtual_time
async def test_the_end_before_there_is_a_handler_is_reported_to_it():
    path = WebSocketPath(FakeTransport(), is_client=False)
    path.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    path.handler = handler = RecordingHandler()
    await settle()
    assert handler.reasons == ["the connection of the WebSocket was lost: Connection reset by peer"]


@virtual_time
async def test_too_large_datagrams_are_dropped():
    path, transport, _ = new_path()
    path.send([b"one", bytes(MAX_DATAGRAM + 1), b"two"])
    path.send([bytes(MAX_DATAGRAM + 1)])
    assert transport.sent_by(masked=False)[0] == [b"one", b"two"]
    assert path.dropped == 2
    path.close()


@virtual_time
async def test_what_the_line_does_not_take_waits_and_is_sent_in_order():
    path, transport, _ = new_path(FakeTransport(room=0))
    sent = [index.to_bytes(2) + bytes(1198) for index in range(50)]
    path.send(sent[:20])
    path.send(sent[20:])
    assert path.queued > 0
    while path.queued or transport.waiting:
        transport.accept(3000)
    assert transport.sent_by(masked=False)[0] == sent
    path.close()


@virtual_time
async def test_nothing_is_written_once_the_connection_is_lost():
    """asyncio calls `connection_lost` in a later turn, and logs what is written until then."""
    path, transport, handler = new_path()
    writes = []

    def lose(data):
        writes.append(data)
        transport.abort()

    transport.write = lose
    path.send([bytes(1200)] * 1000)
    path.send([bytes(1200)])
    assert len(writes) == 1
    path.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    assert len(handler.reasons) == 1


@virtual_time
async def test_a_stalled_line_bounds_what_waits():
    path, transport, _ = new_path(FakeTransport(room=0))
    for _ in range(100):
        path.send([bytes(1200)] * 100)
    assert path.queued <= MAX_BYTES
    assert len(transport.waiting) <= MIN_WRITE + 2 * MAX_DATAGRAM
    await seconds(MAX_AGE * 1.1)
    queued = path.queued
    path.send([bytes(1200)] * 100)
    assert path.queued == queued, "what follows 50 ms of data is dropped"
    path.close()


def new_tls_path(tcp):
    """Return a path over TLS, and its handler."""
    path = WebSocketPath(FakeTls(tcp), tcp=tcp, is_client=False)
    path.handler = handler = RecordingHandler()
    return path, handler


@virtual_time
async def test_with_tls_one_datagram_more_waits_than_without():
    tcp = FakeTransport(room=MAX_WRITE)
    path, _ = new_tls_path(tcp)
    for _ in range(100):
        path.send([bytes(1200)] * 100)
    held = path._transport.waiting
    assert 0 < len(held) <= MAX_DATAGRAM
    while path.queued or tcp.waiting:
        tcp.accept(3000)
    assert path._transport.waiting == b""
    path.close()


@virtual_time
async def test_with_tls_a_slow_line_does_not_end_the_path():
    tcp = FakeTransport(room=MAX_WRITE)
    path, handler = new_tls_path(tcp)
    path.send([bytes(1200)] * 200)
    waiting = len(tcp.waiting)
    assert waiting > 10_000
    for _ in range(10):
        await seconds(STALL_TIMEOUT / 2)
        tcp.accept(1000)
    assert len(tcp.waiting) == waiting - 10_000
    assert handler.reasons == []
    await seconds(STALL_TIMEOUT + CHECK_INTERVAL)
    assert handler.reasons == ["the WebSocket has sent nothing for 10 s"]


@virtual_time
async def test_with_tls_nothing_is_written_once_the_connection_is_lost():
    tcp = FakeTransport()
    path, _ = new_tls_path(tcp)
    tcp.abort()
    path.send([bytes(1200)])
    path.close()
    assert tcp.sent == b""


@virtual_time
async def test_writes_are_small_when_the_line_is_full_and_grow_while_it_is_not():
    path, transport, _ = new_path(FakeTransport(room=0))
    path.send([bytes(1200)] * 1000)
    assert len(transport.waiting) <= MIN_WRITE + MAX_DATAGRAM
    sizes = []
    transport.write = lambda data: sizes.append(len(data))
    transport.room = 1 << 30
    transport.accept(0)
    assert sizes[0] <= MIN_WRITE + MAX_DATAGRAM
    assert sizes == sorted(sizes[:-1]) + sizes[-1:]
    assert MAX_WRITE <= max(sizes) <= MAX_WRITE * 1.1
    path.close()


@virtual_time
async def test_nothing_written_for_10_s_ends_the_path():
    path, transport, handler = new_path(FakeTransport(room=0))
    path.send([bytes(1200)] * 20)
    await seconds(STALL_TIMEOUT - 0.1)
    assert handler.reasons == []
    await seconds(CHECK_INTERVAL + 0.1)
    assert handler.reasons == ["the WebSocket has sent nothing for 10 s"]
    assert transport.is_aborted
    assert path.queued == 0


@virtual_time
async def test_a_slow_line_does_not_end_the_path():
    path, transport, handler = new_path(FakeTransport(room=0))
    for _ in range(60):
        path.send([bytes(1200)] * 20)
        await seconds(STALL_TIMEOUT / 2)
        transport.accept(1000)
    assert handler.reasons == []
    path.close()


@virtual_time
async def test_an_idle_path_pings():
    path, transport, _ = new_path()
    await seconds(PING_INTERVAL - 0.1)
    assert transport.sent == b""
    await seconds(CHECK_INTERVAL + 0.2)
    assert transport.sent == PING
    await seconds(PING_INTERVAL + CHECK_INTERVAL)
    assert transport.sent == PING * 2
    path.close()


@virtual_time
async def test_data_makes_pings_needless():
    path, transport, _ = new_path()
    for _ in range(10):
        path.send([b"data"])
        await seconds(PING_INTERVAL - 1)
    datagrams, parser = transport.sent_by(masked=False)
    assert len(datagrams) == 10
    assert parser.ping is None
    path.close()


@virtual_time
async def test_a_ping_is_answered_with_its_payload():
    path, transport, _ = new_path()
    path.data_received(b"\x89\x83\0\0\0\0abc")
    assert transport.sent == b"\x8a\x03abc"
    path.close()


@virtual_time
async def test_pings_that_the_line_has_no_room_to_answer_cost_no_memory():
    path, transport, _ = new_path(FakeTransport(room=0))
    path.send([bytes(1200)])
    waiting = len(transport.waiting)
    for _ in range(1000):
        path.data_received(b"\x89\x83\0\0\0\0abc")
    assert len(transport.waiting) == waiting
    path.close()


@virtual_time
async def test_a_violation_ends_the_path_with_its_code():
    path, transport, handler = new_path()
    path.data_received(PEER.datagrams([b"good"]) + b"\x81\x80\0\0\0\0")
    assert handler.datagrams == [b"good"]
    assert handler.reasons == ["the peer sent a text message"]
    assert transport.sent == b"\x88\x02\x03\xeb"
    assert transport.is_closing()
    path.data_received(PEER.datagrams([b"more"]))
    path.send([b"more"])
    path.connection_lost(None)
    assert handler.datagrams == [b"good"]
    assert len(handler.reasons) == 1


@virtual_time
async def test_the_peers_close_ends_the_path():
    path, _, handler = new_path()
    path.data_received(PEER.close(1000))
    assert handler.reasons == ["the peer closed the WebSocket with code 1000"]


@virtual_time
async def test_the_end_of_the_connection_ends_the_path():
    path, _, handler = new_path()
    path.eof_received()
    assert handler.reasons == ["the peer closed the connection of the WebSocket"]


@virtual_time
async def test_close_sends_a_close_frame_and_reports_nothing():
    path, transport, handler = new_path()
    path.close()
    path.close()
    assert transport.sent == b"\x88\x02\x03\xe8"
    assert not transport.is_aborted
    await seconds(LINGER)
    assert transport.is_aborted, "a peer that does not read holds it no longer"
    path.connection_lost(None)
    assert handler.reasons == []


@virtual_time
async def test_close_of_a_full_path_aborts_it():
    path, transport, _ = new_path(FakeTransport(room=0))
    path.send([bytes(1200)] * 20)
    path.close()
    assert transport.is_aborted


@virtual_time
async def test_a_handler_may_close_the_path():
    path, transport, _ = new_path()

    class Closer(RecordingHandler):
        def datagrams_received(self, datagrams):
            super().datagrams_received(datagrams)
            path.close()

    path.handler = handler = Closer()
    path.data_received(PEER.datagrams([b"data"]) + PEER.close(1000))
    assert handler.datagrams == [b"data"]
    assert handler.reasons == []
    assert transport.is_closing()


@virtual_time
async def test_no_timer_is_left_behind():
    path, _, _ = new_path()
    path.close()
    path.connection_lost(None)
    await seconds(0)
    assert all(handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)
