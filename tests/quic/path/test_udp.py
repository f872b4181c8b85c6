"""The UDP socket: many datagrams a call where the kernel can, one a call where not, in order."""

from __future__ import annotations

import errno
import random
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from quictunnel.quic.engine import Path
from quictunnel.quic.path import udp
from quictunnel.quic.path.udp import UdpSocket, open_bound, open_connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel joins on Linux only")


@pytest.fixture(params=[True, False], ids=["joined", "one by one"])
def pair(request, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[UdpSocket, UdpSocket]]:
    """A bound socket and one connected to it."""
    if not request.param:
        monkeypatch.setattr(UdpSocket, "_set_linux_options", lambda self, sock: None)
    bound = UdpSocket(open_bound("127.0.0.1", 0), connected=False)
    connected = UdpSocket(open_connected(*bound.getsockname()), connected=True)
    yield bound, connected
    bound.close()
    connected.close()


def drained(sock: UdpSocket) -> list[bytes]:
    """Return what has come; on loopback it is there when the sender's call has returned."""
    found = []
    while batch := sock.receive():
        found += [data for data, _ in batch]
    return found


def test_a_read_that_takes_all_datagrams_says_so(pair) -> None:
    bound, connected = pair
    path = Path(*bound.getsockname())
    for count, is_drained in ((1, True), (2 * udp.BATCH, False)):
        for _ in range(count):
            connected.send([(b"x", path)])
        assert bound.receive()
        assert bound.is_drained == is_drained


def test_datagrams_of_all_sizes_arrive_in_order(pair) -> None:
    bound, connected = pair
    script = random.Random(1)
    sizes = [1200] * 30 + [1452] * 90 + [script.randrange(1, 1453) for _ in range(100)] + [1, 1452]
    sent = [script.randbytes(size) for size in sizes]
    path = Path(*bound.getsockname())
    assert connected.send([(data, path) for data in sent]) == len(sent)
    assert drained(bound) == sent


def test_answers_go_to_whom_they_are_for(pair) -> None:
    bound, first = pair
    second = UdpSocket(open_connected(*bound.getsockname()), connected=True)
    for sock in (first, second):
        sock.send([(b"hello", Path(*bound.getsockname()))])
    path_of = {}
    while batch := bound.receive():
        path_of.update({path.port: path for _, path in batch})
    answers = []
    for number in range(20):
        sock = (first, second)[number % 3 == 0]
        answers.append((bytes([number]) * 100, path_of[sock.getsockname()[1]]))
    assert bound.send(answers) == 20
    assert drained(second) == [data for data, path in answers[::3]]
    assert drained(first) == [data for number, (data, _) in enumerate(answers) if number % 3]
    second.close()


@on_linux
def test_an_answer_leaves_from_the_address_that_was_asked() -> None:
    bound = UdpSocket(open_bound("0.0.0.0", 0), connected=False)
    port = bound.getsockname()[1]
    client = UdpSocket(open_connected("127.0.0.2", port), connected=True)  # hears only 127.0.0.2
    client.send([(b"hello", Path("127.0.0.2", port))])
    ((_, path),) = bound.receive()
    bound.send([(b"well met", path)])
    assert drained(client) == [b"well met"]
    client.close()
    bound.close()


def test_one_wake_up_has_an_end(pair) -> None:
    bound, connected = pair
    path = Path(*bound.getsockname())
    for _ in range(40):
        connected.send([(bytes(1000), path)] * 10)
    assert len(bound.receive()) < udp.BATCH + udp.SEGMENTS_MAX


def test_an_empty_datagram_is_one(pair) -> None:
    bound, connected = pair
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"", bound.getsockname())
    assert drained(bound) == [b""]
    assert connected.receive() == []


def test_what_is_too_large_counts_as_sent(pair) -> None:
    bound, connected = pair
    path = Path(*bound.getsockname())
    assert connected.send([(bytes(70_000), path), (b"fits", path)]) == 2
    assert drained(bound) == [b"fits"]


def test_an_address_that_nothing_leads_to_counts_as_sent(pair) -> None:
    bound, _ = pair
    assert bound.send([(b"hello", Path("255.255.255.255", 9))]) == 1


class FailingSocket:
    """A socket whose `sendmsg` fails as told."""

    family = socket.AF_INET

    def __init__(self, fail: Callable[[int, int], int | None]) -> None:
        self.fail = fail
        self.sent: list[bytes] = []
        self.calls = 0

    def setblocking(self, flag: bool) -> None:
        pass

    def setsockopt(self, *arguments: object) -> None:
        pass

    def getsockopt(self, *arguments: object) -> int:
        return 1 << 30

    def sendmsg(self, buffers: list[bytes], *rest: object) -> None:
        self.calls += 1
        code = self.fail(self.calls, len(buffers))
        if code is not None:
            raise OSError(code, "as told")
        self.sent += buffers


def test_an_answer_to_a_link_local_address_goes_out_by_its_link() -> None:
    class Neighbour(FailingSocket):
        family = socket.AF_INET6

        def recvmsg_into(self, buffers: list[memoryview], size: int) -> object:
            if self.calls:
                raise BlockingIOError
            self.calls += 1
            return 7, [], 0, ("fe80::b", 9001, 0, 3)

        def sendmsg(self, buffers: list[bytes], *rest: object) -> None:
            self.sent.append(rest[-1])

    fake = Neighbour(lambda call, count: None)
    sock = UdpSocket(fake, connected=False)
    ((_, path),) = sock.receive()
    assert sock.send([(b"answer", path)]) == 1
    assert fake.sent == [("fe80::b", 9001, 0, 3)]


PATH = Path("192.0.2.1", 9)


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS])
def test_a_full_kernel_takes_the_rest_later(code: int) -> None:
    fake = FailingSocket(lambda call, count: code if call == 2 else None)
    sock = UdpSocket(fake, connected=True)
    datagrams = [(bytes([n]) * (100 + n), PATH) for n in range(10)]
    first = sock.send(datagrams)
    assert 0 < first < 10
    assert sock.send(datagrams[first:]) == 10 - first
    assert fake.sent == [data for data, _ in datagrams]


@on_linux
def test_a_device_that_cannot_cut_gets_them_one_by_one() -> None:
    fake = FailingSocket(lambda call, count: errno.EIO if count > 1 else None)
    sock = UdpSocket(fake, connected=True)
    datagrams = [(bytes([n]) * 100, PATH) for n in range(10)]
    assert sock.send(datagrams) == 10
    assert fake.sent == [data for data, _ in datagrams]
    sock.send(datagrams)
    assert fake.calls == 1 + 10 + 10, "tried once"


@on_linux
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EMSGSIZE])
def test_a_size_that_the_way_does_not_take_says_nothing_of_the_next(code: int) -> None:
    fake = FailingSocket(lambda call, count: code if call == 1 else None)
    sock = UdpSocket(fake, connected=True)
    datagrams = [(bytes([n]) * 100, PATH) for n in range(10)]
    assert sock.send(datagrams) == 10
    assert fake.sent == [data for data, _ in datagrams]
    sock.send(datagrams)
    assert fake.calls == 1 + 10 + 1, "joined again"


@on_linux
def test_they_are_joined_where_the_kernel_can() -> None:
    fake = FailingSocket(lambda call, count: None)
    sock = UdpSocket(fake, connected=True)
    sock.send([(bytes(1200), PATH)] * 40)
    assert fake.calls == 1
