"""The queue of ICMP errors: entries as Linux returns them, and real sockets on loopback."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from quictunnel.protocol.address import Address
from quictunnel.quic.engine import Path
from quictunnel.quic.limits import ICMP_ERRORS_PER_SECOND
from quictunnel.quic.path import error_queue
from quictunnel.quic.path.error_queue import ErrorQueue, IcmpError, is_about, parse
from quictunnel.quic.path.udp import UdpSocket, open_bound, open_connected

if TYPE_CHECKING:
    from collections.abc import Iterator

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the queue")

SHORT = b"\x4f" + bytes(range(1, 9)) + b"encrypted"
LONG = b"\xc3\0\0\0\1\x08" + bytes(range(1, 9)) + b"\0encrypted"


def control(origin: int, kind: int, code: int, offender: str, *, number: int = 111) -> tuple:
    """Return a control message as Linux on a little-endian machine returns it."""
    family = socket.AF_INET6 if ":" in offender else socket.AF_INET
    packed = socket.inet_pton(family, offender)
    sockaddr = struct.pack("=H", family) + (b"\0\0" if len(packed) == 4 else bytes(6)) + packed
    error = struct.pack("=IBBBBII", number, origin, kind, code, 0, 0, 0)
    if family == socket.AF_INET:
        return (socket.IPPROTO_IP, 11, error + sockaddr + bytes(8))
    return (socket.IPPROTO_IPV6, 25, error + sockaddr + bytes(4))


@pytest.mark.skipif(sys.byteorder != "little", reason="captured on a little-endian machine")
@pytest.mark.parametrize(
    ("ancillary", "address", "destination"),
    [
        (
            (0, 11, "6f000000020303000000000000000000020000007f0000010000000000000000"),
            ("127.0.0.1", 9),
            Address("127.0.0.1", 9),
        ),
        (
            (
                41,
                25,
                "6f0000000203030000000000000000000a0000000000000000000000000000000000ffff7f000001"
                "00000000",
            ),
            ("::ffff:127.0.0.1", 9, 0, 0),
            Address("127.0.0.1", 9),
        ),
        (
            (
                41,
                25,
                "6f0000000301040000000000000000000a0000000000000000000000000000000000000000000001"
                "00000000",
            ),
            ("::1", 9, 0, 0),
            Address("::1", 9),
        ),
    ],
    ids=["IPv4", "IPv4 on a socket for both", "IPv6"],
)
def test_a_captured_port_unreachable_is_read(ancillary, address, destination) -> None:
    level, kind, data = ancillary
    error = parse(b"quoted", [(level, kind, bytes.fromhex(data))], address)
    assert error == IcmpError(
        destination, errno.ECONNREFUSED, is_final=True, is_closed_port=True, quoted=b"quoted"
    )
    assert error.as_os_error().errno == errno.ECONNREFUSED


def test_only_the_destination_itself_closes_its_port() -> None:
    """A firewall on the path may reject packets with the same code."""
    for destination, router, other in (
        (("192.0.2.1", 9001), "192.0.2.254", (2, 3, 3)),
        (("2001:db8::1", 9001, 0, 0), "2001:db8::fe", (3, 1, 4)),
        (("::ffff:192.0.2.1", 9001, 0, 0), "::ffff:192.0.2.254", (2, 3, 3)),
    ):
        error = parse(b"", [control(*other, router)], destination)
        assert error.is_final
        assert not error.is_closed_port
        assert parse(b"", [control(*other, destination[0])], destination).is_closed_port


@pytest.mark.parametrize(
    ("origin", "kind", "code", "is_final"),
    [
        (2, 3, 0, False),  # network unreachable
        (2, 3, 1, False),  # host unreachable
        (2, 3, 4, False),  # fragmentation needed
        (2, 3, 13, True),  # prohibited by a filter
        (2, 11, 3, False),  # time exceeded, with the code of another type
        (3, 1, 0, False),  # no route
        (3, 1, 3, False),  # address unreachable
        (3, 1, 1, True),  # prohibited
        (3, 3, 4, False),  # time exceeded, with the code of another type
    ],
)
def test_other_errors_close_no_port(origin, kind, code, is_final) -> None:
    host = "192.0.2.1" if origin == 2 else "2001:db8::1"
    error = parse(b"", [control(origin, kind, code, host)], (host, 9001))
    assert error.is_final is is_final
    assert not error.is_closed_port


def test_entries_without_an_icmp_error_are_skipped() -> None:
    good = control(2, 3, 3, "192.0.2.1")
    peer = ("192.0.2.1", 9001)
    assert parse(b"", [], peer) is None
    assert parse(b"", [(socket.SOL_SOCKET, 29, good[2])], peer) is None
    assert parse(b"", [(*good[:2], good[2][:15])], peer) is None
    assert parse(b"", [control(1, 0, 0, "192.0.2.1")], peer) is None, "of the kernel's own"
    assert parse(b"", [good], None) is None
    assert not parse(b"", [(*good[:2], good[2][:18])], peer).is_closed_port, "no sender"


def test_a_quotation_is_recognised_by_its_connection_id() -> None:
    assert is_about(SHORT, SHORT)
    assert is_about(b"\x51" + SHORT[1:9] + b"another", SHORT)
    assert is_about(SHORT[:9], SHORT)
    assert not is_about(SHORT[:8], SHORT), "RFC 792 demands no more than the UDP header"
    assert not is_about(b"", SHORT)
    assert is_about(LONG[:14], LONG)
    assert not is_about(LONG[:13], LONG)
    for offset in range(1, 9):
        forged = bytearray(SHORT)
        forged[offset] ^= 1
        assert not is_about(bytes(forged), SHORT)


def test_before_anything_was_sent_nothing_is_quoted() -> None:
    assert not is_about(b"", b"")
    assert not is_about(bytes(64), b"")


# On real sockets


class Watched:
    """A bound socket whose ICMP errors are written down."""

    def __init__(self, host: str) -> None:
        raw = open_bound(host, 0)
        self.is_for_both = host == "::"
        self.loopback = "127.0.0.1" if self.is_for_both else host
        self.address = self.loopback, raw.getsockname()[1]
        self.udp = UdpSocket(raw, connected=False)
        self.raw = raw
        self.errors: list[IcmpError] = []
        self.failures: list[OSError] = []
        self.queue = ErrorQueue(
            raw,
            asyncio.get_running_loop(),
            handle=self.errors.append,
            failed=self.failures.append,
        )

    def receive(self) -> list[bytes]:
        """Do what an endpoint socket does when its socket is readable."""
        try:
            datagrams = self.udp.receive()
        except OSError as exc:
            self.queue.receive_failed(exc)
            return []
        if not datagrams:
            self.queue.drain()
        return [data for data, _ in datagrams]


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
async def watched(request) -> Iterator[Watched]:
    watched = Watched(request.param)
    yield watched
    watched.queue.close()
    watched.udp.close()


def path_to(watched: Watched, sock: socket.socket) -> Path:
    """Return the path from a watched socket to another one."""
    host, port = sock.getsockname()[:2]
    return Path(f"::ffff:{host}" if watched.is_for_both else host, port)


def closed_port(watched: Watched) -> Path:
    """Return the path to a port where nothing listens."""
    with open_bound(watched.loopback, 0) as sock:
        return path_to(watched, sock)


@on_linux
async def test_a_bound_socket_learns_which_datagram_was_rejected(watched) -> None:
    nobody = closed_port(watched)
    watched.udp.send([(SHORT, nobody)])
    watched.receive()
    (error,) = watched.errors
    assert error.destination == Address.of(nobody)
    assert error.is_closed_port
    assert error.quoted == SHORT
    assert watched.udp.send_error is None
    assert watched.failures == []
    assert watched.receive() == []


@on_linux
async def test_pending_errors_cost_no_datagram_of_others(watched) -> None:
    """Each one makes a system call on the socket fail."""
    nobody = closed_port(watched)
    dice = random.Random(1)
    with open_bound(watched.loopback, 0) as other:
        other.settimeout(5)
        friend = path_to(watched, other)
        for number in range(40):
            size = dice.randrange(20, 1200)
            burst = [(bytes([number, n]) * size, friend) for n in range(dice.randrange(1, 5))]
            assert watched.udp.send([(SHORT, nobody), *burst]) == 1 + len(burst)
            assert [other.recv(2400) for _ in burst] == [data for data, _ in burst]
            other.sendto(bytes([number]), watched.address)
            received = [*watched.receive(), *watched.receive(), *watched.receive()]
            assert received == [bytes([number])]
    assert watched.udp.send_error is None
    assert len(watched.errors) >= ICMP_ERRORS_PER_SECOND


@on_linux
async def test_a_flood_of_errors_is_read_in_part_and_then_not_at_all(watched) -> None:
    nobody = closed_port(watched)
    loop = asyncio.get_running_loop()
    wakeups = []
    loop.add_reader(watched.raw.fileno(), lambda: (wakeups.append(1), watched.receive()))
    since = loop.time()
    while loop.time() < since + 0.5:
        watched.udp.send([(SHORT, nobody)] * 10)
        await asyncio.sleep(0.001)
    in_this_second = len(watched.errors)
    assert in_this_second <= 2 * ICMP_ERRORS_PER_SECOND, "two seconds may have begun"
    assert len(wakeups) <= 3 * ICMP_ERRORS_PER_SECOND
    async with asyncio.timeout(10):
        while len(watched.errors) == in_this_second:
            watched.udp.send([(SHORT, nobody)])
            await asyncio.sleep(0.05)
    loop.remove_reader(watched.raw.fileno())


@on_linux
async def test_a_closed_queue_reads_nothing(watched) -> None:
    watched.queue.close()
    watched.udp.send([(SHORT, closed_port(watched))])
    watched.queue.drain()
    assert watched.errors == []


async def test_without_a_queue_errors_of_receiving_are_passed_on(monkeypatch) -> None:
    monkeypatch.setattr(error_queue, "_ON_LINUX", False)
    with open_connected("127.0.0.1", 9) as sock:
        failures: list[OSError] = []
        queue = ErrorQueue(
            sock, asyncio.get_running_loop(), handle=lambda error: None, failed=failures.append
        )
        refused = OSError(errno.ECONNREFUSED, "refused")
        queue.receive_failed(refused)
        queue.drain()
        assert failures == [refused]
        queue.close()
