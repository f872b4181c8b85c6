"""Datagrams in the peer's name by an attacker who has seen the handshake: none ends a connection.

The attacker knows the addresses and connection IDs, and so the keys of Initial packets (RFC 9001,
5.2) and of Retry packets (RFC 9001, 5.8). Forged stateless resets are in `test_resets`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import encode_quic_retry, encode_quic_version_negotiation
from pair import SERVER_PATH, Engines, Pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from pair import End

VERSION = 1
OTHER_VERSION = 0x6B3343CF
REFUSED = b"\x1c\x02\x00\x00"
"""CONNECTION_CLOSE with CONNECTION_REFUSED, as an Initial or Handshake packet may have it."""
TAKEN_OVER = b"\x1d\x21\x00"
"""CONNECTION_CLOSE of the application with TAKEN_OVER. Only 1-RTT packets may have it."""


class Eavesdropper:
    """Has seen the datagrams of a connection."""

    def __init__(self, pair: Pair) -> None:
        self.client = b""
        """The client's connection ID."""
        self.server = os.urandom(8)
        """The server's connection ID, once the server has answered."""
        self.original = b""
        """The connection ID of the client's first packet, from which Initial keys follow."""
        self._server_end = pair.server
        self._last = b""
        pair.tap = self._tap

    def _tap(self, end: End, data: bytes) -> None:
        if end is not self._server_end:
            self._last = data
        if data[0] & 0x80:
            destination, source = connection_ids(data)
            if end is not self._server_end:
                self.server = source
            elif not self.original:
                self.original, self.client = destination, source

    def version_negotiation(self) -> bytes:
        return encode_quic_version_negotiation(
            source_cid=self.server,
            destination_cid=self.client,
            supported_versions=[OTHER_VERSION],
        )

    def retry(self) -> bytes:
        return encode_quic_retry(
            version=VERSION,
            source_cid=os.urandom(8),
            destination_cid=self.client,
            original_destination_cid=self.original,
            retry_token=b"token",
        )

    def initial(self) -> bytes:
        """A close in an Initial packet, with the right keys."""
        return self._long(0xC1, b"\0")

    def handshake(self) -> bytes:
        """A close in a Handshake packet, with the wrong keys."""
        return self._long(0xE1, b"")

    def short(self) -> bytes:
        """A close in a 1-RTT packet, with the wrong keys."""
        payload = TAKEN_OVER.ljust(40, b"\0")
        return self._crypto().encrypt_packet(b"\x41" + self.client + b"\x7f\xff", payload, 0x7FFF)

    def altered(self) -> bytes:
        """A datagram of the server with another last byte."""
        return self._last[:-1] + bytes([self._last[-1] ^ 1])

    def _long(self, first: int, token: bytes) -> bytes:
        payload = REFUSED.ljust(1100, b"\0")
        header = bytes([first]) + VERSION.to_bytes(4, "big")
        for connection_id in (self.client, self.server):
            header += bytes([len(connection_id)]) + connection_id
        header += token + (0x4000 | (len(payload) + 2 + 16)).to_bytes(2, "big") + b"\x7f\xff"
        return self._crypto().encrypt_packet(header, payload, 0x7FFF)

    def _crypto(self) -> CryptoPair:
        crypto = CryptoPair()
        crypto.setup_initial(self.original, is_client=False, version=VERSION)
        return crypto


def connection_ids(data: bytes) -> tuple[bytes, bytes]:
    """Return the destination's and the source's ID in a long header (RFC 9000, 17.2)."""
    at = 6 + data[5]
    return data[6:at], data[at + 1 : at + 1 + data[at]]


FORGERIES = {
    "version negotiation": Eavesdropper.version_negotiation,
    "Retry": Eavesdropper.retry,
    "close in an Initial packet": Eavesdropper.initial,
    "close in a Handshake packet": Eavesdropper.handshake,
    "close in a 1-RTT packet": Eavesdropper.short,
    "altered datagram": Eavesdropper.altered,
}


def shaken(engines: Engines) -> tuple[Pair, Eavesdropper]:
    """Return a pair after its handshake, and who has seen that."""
    pair = Pair(engines=engines, echo=True)
    eavesdropper = Eavesdropper(pair)
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    for end in pair.ends:
        end.engine.trust()
    pair.run_for(1.0)
    return pair, eavesdropper


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_an_established_connection_survives(
    alike: Engines, forge: Callable[[Eavesdropper], bytes]
) -> None:
    pair, eavesdropper = shaken(alike)
    stream = pair.client.open(b"before")
    pair.run(lambda: pair.client.inbox.get(stream) == b"before")
    for _ in range(3):
        pair.client.take([(forge(eavesdropper), SERVER_PATH)], pair.now)
        pair.run_for(0.5)
    pair.client.write(stream, b", after")
    pair.run(lambda: pair.client.inbox[stream] == b"before, after")
    pair.run_for(60.0)
    assert pair.client.closed is None
    assert pair.server.closed is None


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_silent_connection_survives(
    alike: Engines, forge: Callable[[Eavesdropper], bytes]
) -> None:
    """The server is out of reach, and the attacker answers from its address."""
    pair, eavesdropper = shaken(alike)
    pair.network.cut = True
    for _ in range(10):
        pair.client.engine.ping()
        pair.client.take([(forge(eavesdropper), SERVER_PATH)], pair.now)
        pair.run_for(1.0)
    assert pair.client.closed is None
    pair.network.cut = False
    stream = pair.client.open(b"back")
    pair.run(lambda: pair.client.inbox.get(stream) == b"back")


def test_during_the_handshake_the_forged_initial_packet_is_believed(alike: Engines) -> None:
    """QUIC cannot tell it from the server's. The test shows that the forgery is a good one."""
    pair = Pair(engines=alike)
    eavesdropper = Eavesdropper(pair)
    pair.run(lambda: bool(eavesdropper.original))
    assert not pair.client.handshakes
    pair.client.take([(eavesdropper.initial(), SERVER_PATH)], pair.now)
    pair.run_for(0.0)
    assert pair.client.closed is not None
