"""Floods of datagrams and connections: the installed programs keep serving."""

from __future__ import annotations

import random
import socket

from mutator import mutated

from testkit.forwarder import Forwarder
from testkit.programs import CLIENT_ACCEPTED, logged
from testkit.tunnel import LOOPBACK

ONE_ENGINE = (
    "test_slow_clients_do_not_block_others",
    "test_clients_that_wait_for_an_origin_cost_little",
)

DATAGRAMS, BATCH = 10_000, 200

WARM_UP = 10
"""Batches after which the remote has made its one-time allocations."""

SAMPLES = 100
"""Recorded datagrams from which others are made."""

SLOW = 300
"""Slow clients."""

GROWTH = 16 * 1024**2
"""Bytes by which the remote may grow."""


class Flood:
    """Random datagrams, and mutated datagrams of a working link."""

    def __init__(self, samples: list[bytes]) -> None:
        self._samples = samples
        self._rng = random.Random(40)

    def datagram(self) -> bytes:
        rng = self._rng
        match rng.randrange(5):
            case 0:
                return rng.randbytes(rng.randrange(1500))
            case 1:  # a long header of version 1, then random bytes
                return bytes([0xC0 | rng.randrange(64), 0, 0, 0, 1]) + rng.randbytes(1195)
            case 2:  # a short header with a connection ID that the remote knows
                return rng.choice(self._samples[-50:])[:9] + rng.randbytes(rng.randrange(200))
            case _:
                return mutated(rng.choice(self._samples), rng)


def test_10000_hostile_datagrams_harm_no_client(tunnel):
    recorded: list[bytes] = []

    def record(way: str, data: bytes) -> None:
        if way == "up" and len(recorded) < SAMPLES:
            recorded.append(data)

    tunnel.start_remote("--log-level", "error")
    with Forwarder(tunnel.link_port, on_datagram=record) as forwarder:
        tunnel.start_origin("--remote", forwarder.address)
        tunnel.wait_for_remote()
        tunnel.wait_for_origin()
        client, server = tunnel.pair()

        def echo() -> None:
            client.send(b"question")
            assert server.receive(8) == b"question"
            server.send(b"answer")
            assert client.receive(6) == b"answer"

        echo()
        flood = Flood(recorded)
        with socket.socket(type=socket.SOCK_DGRAM) as attacker:
            for number in range(DATAGRAMS // BATCH):
                for _ in range(BATCH):
                    attacker.sendto(flood.datagram(), (LOOPBACK, tunnel.link_port))
                echo()
                if number == WARM_UP:
                    before = tunnel.remote.resident_memory()
        assert tunnel.remote.resident_memory() - before < GROWTH

        # The link ends in order, and a new origin can connect.
        tunnel.reset_connections()
        tunnel.origin.end()
    tunnel.start_origin()
    tunnel.wait_for_origin()


def test_slow_clients_do_not_block_others(tunnel):
    tunnel.up(remote=("--accept-proxy-protocol",))
    header = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
    before = tunnel.remote.resident_memory()
    for number in range(SLOW):
        tunnel.connect().send(header[: 1 + number % (len(header) - 1)])
    client = tunnel.connect()
    client.send(header + b"question")
    server = tunnel.accept()
    assert server.receive(8) == b"question"
    server.send(b"answer")
    assert client.receive(6) == b"answer"
    assert tunnel.remote.resident_memory() - before < GROWTH


def test_clients_that_wait_for_an_origin_cost_little(tunnel):
    tunnel.start_remote()
    tunnel.wait_for_remote()
    before = tunnel.remote.resident_memory()
    for _ in range(SLOW):
        tunnel.connect().send(bytes(100_000))  # it stays in the kernel's buffers
    tunnel.remote.wait_for_log(logged(CLIENT_ACCEPTED), times=SLOW)
    assert tunnel.remote.resident_memory() - before < GROWTH
