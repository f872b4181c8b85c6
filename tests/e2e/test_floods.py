"""Datagrams and connections from anybody, in masses: the installed programs go on serving."""

from __future__ import annotations

import random
import socket

from impostors import LOOPBACK, in_thread
from mutator import mutated
from patience import patience
from tunnels import READY_ORIGIN
from udp_forwarder import Forwarder

ONE_ENGINE = (
    "test_slow_clients_keep_nobody_out",
    "test_clients_without_an_origin_wait_at_little_cost",
)

DATAGRAMS, AT_ONCE = 100_000, 200
SLOW = 300
GROWTH = 16 * 1024**2


class Recorder(Forwarder):
    """Remembers the datagrams towards the remote, from which others are made."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.recorded: list[bytes] = []

    def datagram_received(self, data, addr):
        if len(self.recorded) < 100:
            self.recorded.append(data)
        super().datagram_received(data, addr)


class Flood:
    """Datagrams out of nothing, and out of those of a link that lives."""

    def __init__(self, samples: list[bytes]) -> None:
        self._samples = samples
        self._rng = random.Random(40)

    def datagram(self) -> bytes:
        rng = self._rng
        match rng.randrange(5):
            case 0:
                return rng.randbytes(rng.randrange(1500))
            case 1:  # a long header of version 1, then anything
                return bytes([0xC0 | rng.randrange(64), 0, 0, 0, 1]) + rng.randbytes(1195)
            case 2:  # a short header of a connection id that the remote knows
                return rng.choice(self._samples[-50:])[:9] + rng.randbytes(rng.randrange(200))
            case _:
                return mutated(rng.choice(self._samples), rng)


async def test_100000_datagrams_from_anybody_harm_no_client(tunnel):
    tunnel.start_remote("--log-level", "error")
    with patience():
        wire = await Recorder.start(tunnel.link_port)
        await in_thread(tunnel.remote_is_ready)
        tunnel.start_origin("--remote", f"{LOOPBACK}:{wire.port}")
        await in_thread(tunnel.origin.wait_for, READY_ORIGIN)
        client, server = await in_thread(tunnel.pair)

    def echo() -> None:
        client.say(b"question")
        assert server.hear(8) == b"question"
        server.say(b"answer")
        assert client.hear(6) == b"answer"

    await in_thread(echo)
    flood = Flood(wire.recorded)
    with socket.socket(type=socket.SOCK_DGRAM) as anybody:
        for number in range(DATAGRAMS // AT_ONCE):
            for _ in range(AT_ONCE):
                anybody.sendto(flood.datagram(), (LOOPBACK, tunnel.link_port))
            await in_thread(echo)
            if number == DATAGRAMS // AT_ONCE // 10:  # what is allocated once is there by now
                before = tunnel.remote.memory
    assert tunnel.remote.memory - before < GROWTH

    # The link ends in order, and an origin that comes now is let in.
    tunnel.part()
    await in_thread(tunnel.origin.end)
    wire.close()
    tunnel.start_origin().wait_for(READY_ORIGIN)


def test_slow_clients_keep_nobody_out(tunnel):
    tunnel.up(remote=("--accept-proxy-protocol",))
    header = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
    before = tunnel.remote.memory
    for number in range(SLOW):
        tunnel.client().say(header[: 1 + number % (len(header) - 1)])
    client = tunnel.client()
    client.say(header + b"question")
    server = tunnel.served()
    assert server.hear(8) == b"question"
    server.say(b"answer")
    assert client.hear(6) == b"answer"
    assert tunnel.remote.memory - before < GROWTH


def test_clients_without_an_origin_wait_at_little_cost(tunnel):
    tunnel.start_remote()
    tunnel.remote_is_ready()
    before = tunnel.remote.memory
    for _ in range(SLOW):
        tunnel.client().say(bytes(100_000))  # which stays in the kernel
    tunnel.remote.logged("client accepted", times=SLOW)
    assert tunnel.remote.memory - before < GROWTH
