"""The design's table of endings, row by row, each both ways, seen from real TCP sockets."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from relay_doubles import PATIENCE, Tunnel, until

from quictunnel.protocol.codes import Code
from quictunnel.relay.relay import CLOSED, Ending, Relay

BULK = bytes(range(256)) * 8192  # 2 MiB: more than all buffers of a narrow tunnel


class WatchedRelay(Relay):
    """A relay of which a test notices that it is freed."""

    __slots__ = ("__weakref__",)


async def test_bytes_pass_both_ways(tunnel, way):
    actor, seer = tunnel.ways(way)
    await actor.wire.send(b"question")
    assert await seer.wire.receive() == b"question"
    await seer.wire.send(b"answer")
    assert await actor.wire.receive() == b"answer"


async def test_fin_passes_and_the_other_direction_lives_on(tunnel, way):
    actor, seer = tunnel.ways(way)
    await actor.wire.send(b"question")
    actor.wire.fin()
    assert await seer.wire.receive_to_fin() == b"question"
    await seer.wire.send(b"answer")
    assert await actor.wire.receive() == b"answer"
    seer.wire.fin()
    assert await actor.wire.receive() == b""
    for half in (actor, seer):
        end = await half.end()
        assert (end.ending, end.code) == (Ending.IN_ORDER, Code.NO_ERROR)


async def test_fin_from_both_at_once(tunnel):
    await tunnel.client.send(b"c")
    await tunnel.server.send(b"s")
    tunnel.client.fin()
    tunnel.server.fin()
    assert await tunnel.client.receive_to_fin() == b"s"
    assert await tunnel.server.receive_to_fin() == b"c"
    assert (await tunnel.remote.end()).ending is Ending.IN_ORDER
    assert (await tunnel.origin.end()).ending is Ending.IN_ORDER


async def test_fin_comes_behind_all_that_was_written(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    seer.wire.fin()
    assert await actor.wire.receive() == b""
    sending = actor.relay.loop.create_task(actor.wire.send(BULK))
    await until(lambda: seer.relay.tcp.write_paused)
    received = await seer.wire.receive_exactly(len(BULK) - 1000)
    await sending
    actor.wire.fin()
    received += await seer.wire.receive_to_fin()
    assert received == BULK
    assert (await actor.end()).ending is Ending.IN_ORDER
    assert (await seer.end()).ending is Ending.IN_ORDER


async def test_a_reset_passes_as_a_reset(tunnel, way):
    actor, seer = tunnel.ways(way)
    await actor.wire.send(b"half of a")
    assert await seer.wire.receive() == b"half of a"
    actor.wire.reset()
    assert await seer.wire.sees_reset()
    code = Code.CLIENT_RESET if way == "client" else Code.ORIGIN_RESET
    assert (await actor.end()).ending is Ending.TCP_LOST
    assert (await seer.end()).ending is Ending.STREAM_RESET
    assert (await actor.end()).code == (await seer.end()).code == code
    assert (await actor.end()).reason == code.word


async def test_a_reset_behind_a_fin_passes_as_a_reset(tunnel, way):
    """Nobody reads from the actor any more and nothing is written to it: the watch notices."""
    actor, seer = tunnel.ways(way)
    actor.wire.fin()
    assert await seer.wire.receive() == b""
    actor.wire.reset()
    assert await seer.wire.sees_reset_behind_fin()
    assert (await actor.end()).ending is Ending.TCP_LOST


async def test_a_reset_by_the_one_who_got_a_fin_passes_as_a_reset(tunnel, way):
    actor, seer = tunnel.ways(way)
    seer.wire.fin()
    assert await actor.wire.receive() == b""
    actor.wire.reset()
    assert await seer.wire.sees_reset()
    assert (await actor.end()).ending is Ending.TCP_LOST


async def test_a_reset_and_a_fin_before_it_in_one_wake_up_are_a_reset(tunnel, way):
    actor, seer = tunnel.ways(way)
    actor.wire.fin()
    actor.wire.reset()
    assert await seer.wire.sees_reset()


async def test_a_reset_passes_while_back_pressure_holds_the_actor(narrow_tunnel, way):
    """The actor has filled the tunnel and is not read; its reset must not wait for the reader."""
    actor, seer = narrow_tunnel.ways(way)
    await actor.wire.fill()
    assert not actor.transport.is_reading()
    actor.wire.reset()
    await seer.end()
    assert await seer.wire.sees_reset()
    assert (await actor.end()).ending is Ending.TCP_LOST


async def test_a_reset_passes_while_the_actor_does_not_read(narrow_tunnel, way):
    """Bytes for the actor wait everywhere; all of them are dropped at once."""
    actor, seer = narrow_tunnel.ways(way)
    await seer.wire.fill()
    actor.wire.reset()
    assert await seer.wire.sees_reset()
    assert (await seer.end()).ending is Ending.STREAM_RESET


async def test_a_full_close_is_a_fin_until_something_is_written_to_it(tunnel, way):
    """close(2) sends FIN; only bytes sent to it bring the reset out."""
    actor, seer = tunnel.ways(way)
    actor.wire.close()
    assert await seer.wire.receive() == b""
    await seer.wire.send(b"to nobody")
    assert await seer.wire.sees_reset_behind_fin()
    assert (await actor.end()).ending is Ending.TCP_LOST


async def test_a_lost_link_resets_both_ends(tunnel):
    await tunnel.server.send(b"half of a download")
    assert await tunnel.client.receive() == b"half of a download"
    tunnel.link.lose()
    assert await tunnel.client.sees_reset()
    assert await tunnel.server.sees_reset()
    end = await tunnel.remote.end()
    assert (end.ending, end.code, end.reason) == (Ending.LINK_LOST, None, "the hold is over")


async def test_a_lost_link_resets_both_ends_though_one_direction_has_ended(tunnel, way):
    actor, seer = tunnel.ways(way)
    actor.wire.fin()
    assert await seer.wire.receive() == b""
    tunnel.link.lose()
    assert await actor.wire.sees_reset()
    assert await seer.wire.sees_reset_behind_fin()


async def test_a_lost_link_drops_what_waits(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    await actor.wire.fill()
    narrow_tunnel.link.lose()
    assert await actor.wire.sees_reset()
    assert await seer.wire.sees_reset()


async def test_a_link_lost_while_the_last_bytes_are_written_out_resets(narrow_tunnel):
    """All has come from the stream, FIN too, but the client has not got it: no clean end for it."""
    tunnel = narrow_tunnel
    await tunnel.server.send(bytes(40_000))
    tunnel.server.fin()
    await until(lambda: tunnel.remote.relay.stream.has_eof)
    tunnel.link.lose()
    assert await tunnel.client.sees_reset()


async def test_a_silent_link_is_nothing_at_all(tunnel, way):
    actor, seer = tunnel.ways(way)
    tunnel.link.fall_silent()
    await actor.wire.send(b"into the dark")
    await until(lambda: actor.relay.tcp.received == len(b"into the dark"))
    assert seer.relay.stream.received == 0
    assert not actor.ended.done()
    assert not seer.ended.done()
    tunnel.link.come_back()
    assert await seer.wire.receive() == b"into the dark"


async def test_a_silent_link_holds_the_writer_still(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    narrow_tunnel.link.fall_silent()
    held = await actor.wire.fill()
    assert not actor.transport.is_reading()
    narrow_tunnel.link.come_back()
    assert await seer.wire.receive_exactly(held) == bytes(held)


async def test_a_cut_resets_both_ends_with_the_code(tunnel, way):
    """Drain: the end of the grace, at either end of the link."""
    actor, seer = tunnel.ways(way)
    actor.relay.abort(Code.CUT_SHORT)
    assert await actor.wire.sees_reset()
    assert await seer.wire.sees_reset()
    assert ((await actor.end()).ending, (await actor.end()).code) == (Ending.CUT, Code.CUT_SHORT)
    assert (await seer.end()).ending is Ending.STREAM_RESET
    assert (await seer.end()).code == Code.CUT_SHORT
    assert (await seer.end()).reason == Code.CUT_SHORT.word


async def test_an_administrator_resets_both_ends(tunnel, way):
    actor, seer = tunnel.ways(way)
    actor.relay.close()
    assert await actor.wire.sees_reset()
    assert await seer.wire.sees_reset()
    assert ((await actor.end()).ending, (await actor.end()).reason) == (Ending.CLOSED, CLOSED)
    assert ((await seer.end()).ending, (await seer.end()).code) == (
        Ending.STREAM_RESET,
        Code.CUT_SHORT,
    )


async def test_a_relay_says_how_far_it_is(tunnel, way):
    actor, seer = tunnel.ways(way)
    assert (actor.relay.is_joined, actor.relay.is_ending) == (True, False)
    assert actor.relay.tcp.first_at is None
    await actor.wire.send(b"x")
    await seer.wire.receive()
    first_at = actor.relay.tcp.first_at
    assert actor.relay.tcp.connected_at <= first_at <= seer.relay.loop.time()
    await actor.wire.send(b"y")
    await seer.wire.receive()
    assert actor.relay.tcp.first_at == first_at
    actor.wire.fin()
    await seer.wire.receive_to_fin()
    assert (actor.relay.is_ending, seer.relay.is_ending) == (True, True)


async def test_a_cut_drops_what_waits(narrow_tunnel, way):
    actor, seer = narrow_tunnel.ways(way)
    await actor.wire.fill()
    await seer.wire.fill()
    actor.relay.abort(Code.CUT_SHORT)
    assert await actor.wire.sees_reset()
    assert await seer.wire.sees_reset()


async def test_a_stream_reset_with_a_foreign_code_is_a_reset(tunnel):
    tunnel.far.reset(0xBEEF)
    assert await tunnel.client.sees_reset()
    end = await tunnel.remote.end()
    assert (end.code, end.reason) == (0xBEEF, "unknown code 0xbeef")


async def test_a_stream_closed_behind_the_relays_back_is_a_reset(tunnel):
    tunnel.near.lose(None)
    assert await tunnel.client.sees_reset()
    assert (await tunnel.remote.end()).ending is Ending.LINK_LOST


async def test_a_transport_aborted_behind_the_relays_back_is_a_reset(tunnel, way):
    actor, seer = tunnel.ways(way)
    actor.transport.abort()
    assert await actor.wire.sees_reset()
    assert await seer.wire.sees_reset()
    assert (await actor.end()).code == Code.INTERNAL


async def test_the_end_counts_bytes_and_time(tunnel):
    await tunnel.client.send(b"12345")
    tunnel.client.fin()
    assert await tunnel.server.receive_to_fin() == b"12345"
    await tunnel.server.send(b"123")
    tunnel.server.fin()
    assert await tunnel.client.receive_to_fin() == b"123"
    end = await tunnel.remote.end()
    assert (end.bytes_from_tcp, end.bytes_to_tcp) == (5, 3)
    assert 0 <= end.duration < PATIENCE
    end = await tunnel.origin.end()
    assert (end.bytes_from_tcp, end.bytes_to_tcp) == (3, 5)


async def test_what_has_ended_is_gone_without_the_garbage_collector(way):
    """With many clients it would be busy for a tenth of the time."""

    tunnel = Tunnel()
    half, other = tunnel.ways(way)
    half.relay = WatchedRelay(
        linger_timer=half.lingers, tcp_reset_code=Code.CLIENT_RESET, on_end=half.ended.set_result
    )
    relay = weakref.ref(half.relay)
    gc.disable()
    try:
        await tunnel.stand()
        half.wire.fin()
        other.wire.fin()
        assert (await half.end()).ending is Ending.IN_ORDER
        half.relay = half.transport = tunnel.near = tunnel.far = None
        tunnel.link.streams.clear()
        await until(lambda: relay() is None)
    finally:
        gc.enable()
    await other.end()
    tunnel.client.close()
    tunnel.server.close()


async def test_writes_behind_a_failure_are_dropped_in_silence(tunnel, caplog):
    """asyncio warns at the fifth; there is nothing to warn of."""
    tunnel.remote.transport.abort()
    for _ in range(20):
        tunnel.remote.relay.tcp.write(b"late")
    await tunnel.remote.end()
    assert caplog.records == []


@pytest.mark.parametrize("size", [1, 65_536, 3_000_000])
async def test_what_is_sent_arrives_in_order_and_whole(tunnel, way, size):
    actor, seer = tunnel.ways(way)
    data = (bytes(range(251)) * (size // 251 + 1))[:size]

    async def send():
        await actor.wire.send(data)
        actor.wire.fin()

    sending = actor.relay.loop.create_task(send())
    assert await seer.wire.receive_to_fin() == data
    await sending


# A relay that lets go of its TCP connection


class Successor(asyncio.Protocol):
    """The protocol of a TCP connection after its relay."""

    def __init__(self):
        self.data = b""

    def data_received(self, data):
        self.data += data


def detach(half, successor):
    half.transport.pause_reading()
    half.transport.set_protocol(successor)
    return half.relay.detach(Code.MOVED)


async def test_a_detached_relay_resets_the_stream_and_keeps_the_tcp_connection(tunnel):
    successor = Successor()
    assert detach(tunnel.remote, successor)
    end = await tunnel.remote.end()
    assert (end.ending, end.code, end.reason) == (Ending.DETACHED, Code.MOVED, Code.MOVED.word)
    assert tunnel.remote.relay.is_over
    assert await tunnel.server.sees_reset()
    assert (await tunnel.origin.end()).code == Code.MOVED
    tunnel.remote.transport.resume_reading()
    await tunnel.client.send(b"still there")
    await until(lambda: successor.data == b"still there")
    assert not tunnel.remote.relay.detach(Code.MOVED)
    tunnel.remote.relay.abort(Code.CUT_SHORT)
    assert not tunnel.remote.transport.is_closing()
    tunnel.remote.transport.abort()


async def test_a_relay_may_be_detached_when_its_link_is_lost(tunnel):
    successor = Successor()
    tunnel.remote.relay.on_link_lost = lambda: detach(tunnel.remote, successor)
    tunnel.link.lose()
    assert (await tunnel.remote.end()).ending is Ending.DETACHED
    assert await tunnel.server.sees_reset()
    assert not tunnel.remote.transport.is_closing()
    tunnel.remote.transport.abort()


async def test_a_relay_that_has_ended_is_not_detached(tunnel):
    tunnel.remote.relay.on_link_lost = lambda: pytest.fail("it has ended")
    tunnel.remote.relay.abort(Code.CUT_SHORT)
    assert not tunnel.remote.relay.detach(Code.MOVED)
    tunnel.link.lose()
    assert (await tunnel.remote.end()).ending is Ending.CUT
    assert await tunnel.client.sees_reset()


async def test_a_detached_relay_is_gone_without_the_garbage_collector():
    tunnel = Tunnel()
    half = tunnel.remote
    half.relay = WatchedRelay(
        linger_timer=half.lingers, tcp_reset_code=Code.CLIENT_RESET, on_end=half.ended.set_result
    )
    relay = weakref.ref(half.relay)
    gc.disable()
    try:
        await tunnel.stand()
        assert detach(half, Successor())
        await tunnel.origin.end()
        half.relay = tunnel.near = tunnel.far = None
        tunnel.link.streams.clear()
        await until(lambda: relay() is None)
    finally:
        gc.enable()
    half.transport.abort()
    tunnel.client.close()
    tunnel.server.close()
