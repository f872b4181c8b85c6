"""The soak's hostile peers: their line on loopback, and that they attack a remote."""

from __future__ import annotations

import contextlib
import socket

import pytest

from bench.soak import hostile
from testkit.attacker import loopback
from testkit.attacker.addresses import own, spoofed
from testkit.attacker.loopback import LoopbackLine
from testkit.attacker.packets import UdpAddress, udp
from testkit.attacker.rate import BURST

LOOPBACK = socket.inet_aton("127.0.0.1")


@pytest.fixture
def remote():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)
        yield sock


@pytest.fixture
def target(remote):
    return UdpAddress(LOOPBACK, remote.getsockname()[1])


@pytest.fixture
def line(target):
    with contextlib.closing(LoopbackLine(target, megabits=8, now=0.0)) as line:
        yield line


def test_each_address_is_one_of_loopback_and_gets_its_answers(line, remote, target):
    sources = [UdpAddress(own(number), 4000) for number in range(3)]
    for number, source in enumerate(sources):
        line.send(udp(source, target, b"%d" % number))
    for number, source in enumerate(sources):
        data, address = remote.recvfrom(100)
        assert (data, address) == (b"%d" % number, (f"127.18.0.{number + 1}", 4000))
        remote.sendto(b"answer", address)
        (answer,) = line.received(timeout=20)
        assert (answer.target, answer.data) == (source, b"answer")


def test_packets_with_forged_addresses_are_dropped(line, remote, target):
    line.send(udp(UdpAddress(spoofed(), 4000), target, b"forged"))
    line.send(udp(UdpAddress(own(0), 4000), target, b"own"))
    assert remote.recv(100) == b"own"
    assert line.packets == 1


def test_the_number_of_sockets_is_bounded(line, remote, target, monkeypatch):
    monkeypatch.setattr(loopback, "SOCKETS_MAX", 2)
    for port in (4000, 4001, 4002):
        line.send(udp(UdpAddress(own(0), port), target, b"question"))
    addresses = [remote.recvfrom(100)[1] for _ in range(3)]
    remote.sendto(b"answer", addresses[2])
    (answer,) = line.received(timeout=20)
    assert answer.target.port == 4002
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.18.0.1", 4000))  # the first one is closed


def test_the_rate_is_kept(line):
    line.rate.refill(10.0)
    packet = udp(UdpAddress(own(0), 4000), UdpAddress(LOOPBACK, 9), bytes(1000))
    sent = 0
    while line.rate.may_send:
        line.send(packet)
        sent += len(packet)
    assert sent == pytest.approx(BURST * 1e6, rel=0.05)


def test_hostile_peers_report_what_they_did(remote, tmp_path):
    peers = hostile.HostilePeers(remote.getsockname()[1], 1, tmp_path)
    with peers:
        assert remote.recv(2000)
    done = peers.done()
    assert done["attacks"] == 1
    assert done["packets"] > 0
