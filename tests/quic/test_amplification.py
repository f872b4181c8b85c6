"""An address that has not shown that it receives gets three times its own bytes (RFC 9000, 8.1)."""

from __future__ import annotations

import functools

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pair import CLIENT_PATH, Engines, Pair, self_signed

from quictunnel.protocol.codes import Code
from quictunnel.quic.settings import ServerTls

CERTIFICATES = 6
"""They take several times what the server may send to an unknown address."""


@functools.cache
def long_chain() -> ServerTls:
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    return ServerTls((self_signed("localhost", key),) * CERTIFICATES, key)


class Unanswered:
    """A server with a long chain that has received a client's first datagrams, and no more."""

    def __init__(self, engines: Engines) -> None:
        self.pair = Pair(engines=engines)
        self.server = self.pair.server
        self.server.endpoint.set_certificate(long_chain())
        self.first = self.pair.client.engine.transmit(0.0)
        self.received = self.sent = 0
        self.now = 0.0
        self.hear()

    def hear(self) -> None:
        """Receive the client's first datagrams, again."""
        for data, _ in self.first:
            self.received += len(data)
            self.server.take([(data, CLIENT_PATH)], self.now)
        self.send()

    def send(self) -> None:
        self.server.engine.dispatch(self.server)
        self.sent += sum(len(data) for data, _ in self.server.engine.transmit(self.now))
        self.server.engine.dispatch(self.server)

    def run_for(self, seconds: float) -> None:
        """Run the server's timers. Nothing arrives."""
        stop = self.now + seconds
        while (due := self.server.engine.deadline()) is not None and due <= stop:
            self.now = max(due, self.now) + 1e-6
            self.server.engine.expire(self.now)
            self.send()
        self.now = stop


def test_a_handshake_and_its_probes_stay_within_the_limit(alike: Engines) -> None:
    server = Unanswered(alike)
    server.run_for(8.0)
    assert 2 * server.received < server.sent <= 3 * server.received


def test_a_close_stays_within_the_limit(alike: Engines) -> None:
    server = Unanswered(alike)
    server.run_for(8.0)
    server.server.engine.close_with(Code.HELLO_TIMEOUT, "no hello in time")
    server.send()
    server.run_for(8.0)
    assert server.sent <= 3 * server.received


@pytest.mark.parametrize("is_closed_first", [False, True])
def test_answers_to_repeated_datagrams_stay_within_the_limit(
    is_closed_first: bool, alike: Engines
) -> None:
    """Each datagram raises the limit. A closing server may repeat its close, within it."""
    server = Unanswered(alike)
    server.run_for(0.1)
    if is_closed_first:
        server.server.engine.close_with(Code.HELLO_TIMEOUT, "no hello in time")
        server.send()
    for _ in range(5):
        server.hear()
        assert server.sent <= 3 * server.received
    server.server.engine.close_with(Code.HELLO_TIMEOUT, "no hello in time")
    server.send()
    server.run_for(8.0)
    assert server.sent <= 3 * server.received


def test_a_close_is_sent_where_the_limit_allows_it(alike: Engines) -> None:
    """A server with a short chain has sent less than it may."""
    pair = Pair(engines=alike)
    for data, _ in pair.client.engine.transmit(0.0):
        pair.server.take([(data, CLIENT_PATH)], 0.0)
    pair.server.engine.transmit(0.0)
    pair.server.engine.close_with(Code.HELLO_TIMEOUT, "no hello in time")
    assert pair.server.engine.transmit(0.01)
