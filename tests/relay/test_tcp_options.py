"""The options of a relayed socket, and when the linger of zero is taken off."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from relay_doubles import PATIENCE, until

from quictunnel.protocol.codes import Code
from quictunnel.relay import tcp_options as tcp
from quictunnel.relay.readiness import readiness
from quictunnel.relay.relay import Ending
from quictunnel.relay.tcp_options import send_rst_at_close
from quictunnel.relay.tcp_transport import SocketTransport

RESET, FIN = (1, 0), (0, 0)


def at_close(transport: asyncio.Transport) -> tuple[int, int]:
    sock = transport.get_extra_info("socket")
    return struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))


async def test_a_relayed_socket_has_its_options(half):
    await half.stand()
    sock = half.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
    assert at_close(half.transport) == RESET


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="not every system has them")
async def test_keep_alive_has_our_times(half):
    await half.stand()
    sock = half.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == tcp.KEEPALIVE_IDLE
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == tcp.KEEPALIVE_INTERVAL
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == tcp.KEEPALIVE_PROBES


async def test_half_an_end_is_no_orderly_end(tunnel, way):
    """A crash now must reset both ends, although one direction is complete."""
    actor, seer = tunnel.ways(way)
    actor.wire.fin()
    assert await seer.wire.receive() == b""
    assert at_close(actor.transport) == RESET
    assert at_close(seer.transport) == RESET


async def test_the_orderly_end_waits_for_the_last_byte_to_be_written(narrow_tunnel, way):
    """Both have sent FIN, but bytes wait in the transport: still no orderly end."""
    actor, seer = narrow_tunnel.ways(way)
    seer.wire.fin()
    assert await actor.wire.receive() == b""
    sent = await actor.wire.fill()
    actor.wire.fin()
    received = 0
    while not seer.relay.stream.has_eof:
        received += len(await seer.wire.receive())
    assert seer.transport.get_write_buffer_size() > 0
    assert at_close(seer.transport) == RESET
    assert not seer.ended.done()
    rest = await seer.wire.receive_to_fin()
    assert received + len(rest) == sent
    await seer.end()


async def test_what_the_kernel_holds_at_the_orderly_end_still_arrives(narrow_tunnel, way):
    """The relay is over, the client has yet to read: the kernel delivers it all, and FIN."""
    actor, seer = narrow_tunnel.ways(way)
    sock = seer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    seer.wire.fin()
    assert await actor.wire.receive() == b""
    await actor.wire.send(bytes(100_000))
    actor.wire.fin()
    await until(lambda: seer.relay.stream.received == 100_000)
    assert seer.transport.get_write_buffer_size() == 0
    assert tcp.unacknowledged(sock) > 50_000
    assert (await seer.end()).ending is Ending.IN_ORDER
    assert await seer.wire.receive_to_fin() == bytes(100_000)


async def test_accepted_sockets_inherit_the_reset():
    """A crash between accept(2) and the relay must not look like an empty answer either."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        send_rst_at_close(listener)
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
            accepted, _ = listener.accept()
            accepted.close()
            with pytest.raises(ConnectionResetError):
                client.recv(1)


async def test_a_unix_socket_is_relayed_with_its_ends(half, tunnel, tmp_path):
    """No RST there, but bytes and FIN pass."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.setblocking(False)
    SocketTransport(ours, readiness(loop)).attach(half.relay.tcp)
    near, far = tunnel.link.stream_pair()
    near.attach(half.relay.stream)
    far.attach(asyncio.Protocol())
    far.write(b"question")
    assert await loop.sock_recv(theirs, 100) == b"question"
    half.relay.abort(Code.CUT_SHORT)
    assert await loop.sock_recv(theirs, 100) == b""
    theirs.close()


async def test_a_reset_at_the_moment_of_the_eof_is_a_reset(half, tunnel):
    """shutdown(2) fails with ENOTCONN after a reset that was not read yet."""
    await half.stand()
    near, far = tunnel.link.stream_pair()
    near.attach(half.relay.stream)
    far.attach(asyncio.Protocol())
    half.wire.reset()
    half.relay.stream.eof_received()
    end = await half.end()
    assert end.reason == "the origin server reset its connection"


async def test_the_kernel_tells_what_is_not_acknowledged(half):
    await half.stand()
    sock = half.transport.get_extra_info("socket")
    assert tcp.unacknowledged(sock) == 0
    half.transport.write(bytes(1 << 20))
    await until(lambda: half.relay.tcp.write_paused)
    assert half.relay.tcp.unsent() > half.transport.get_write_buffer_size()
