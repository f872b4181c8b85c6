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
    assert keep_alive_of(sock) == (60, 15, 4)


def keep_alive_of(sock: socket.socket) -> tuple[int, ...]:
    """Return the idle time, the interval and the number of probes."""
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    return tuple(sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="not every system has them")
@pytest.mark.parametrize(
    ("idle", "times"),
    [(60.0, (60, 30, 4)), (1.0, (1, 1, 4)), (0.2, (1, 1, 4)), (7200, (7200, 3600, 4))],
)
def test_a_client_is_lost_after_three_times_its_idle_time(idle, times):
    with socket.socket() as sock:
        tcp.set_options(sock, tcp.KeepAlive.of_client(idle))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert keep_alive_of(sock) == times
        first, interval, probes = times
        assert first + interval * probes == 3 * first or idle <= 1


def test_keep_alive_can_be_switched_off_and_on():
    with socket.socket() as sock:
        tcp.set_options(sock, tcp.KeepAlive.of_client(60))
        tcp.set_keep_alive(sock, tcp.KeepAlive.of_client(0))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        tcp.set_keep_alive(sock, tcp.KeepAlive.of_client(5))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


@pytest.mark.parametrize(
    ("idle", "most"), [(60, 16_363), (1, 1_000), (7200, 120_000), (0, 120_000)]
)
def test_unacknowledged_bytes_are_sent_again_often_enough(idle, most):
    with socket.socket() as sock:
        system = longest_interval(sock)
        tcp.set_options(sock)
        assert longest_interval(sock) == system, "origin servers have the system's limit"
        tcp.set_options(sock, tcp.KeepAlive.of_client(idle))
        if system is not None:
            assert abs(longest_interval(sock) - most) <= 10, "the kernel counts in ticks"


def longest_interval(sock: socket.socket) -> int | None:
    """Return the longest interval between retransmissions, in ms; None before Linux 6.15."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, tcp._TCP_RTO_MAX_MS)
    except OSError:
        return None


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
