"""Packets with any frames, sealed with the keys of a live aioquic connection or of an Initial."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aioquic.quic.crypto import CryptoPair
from aioquic.tls import Epoch

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnection

    from quictunnel.quic.engine import Engine

VERSION = 1

PAYLOAD_MIN = 2
"""Bytes that the protection of a packet's header needs behind a number of 2 bytes (RFC 9001,
5.4.2)."""

PADDING, PING, ACK, CRYPTO = b"\x00", b"\x01", b"\x02", b"\x06"
STREAM = 0x08
WITH_FIN, WITH_LENGTH, WITH_OFFSET = 0x01, 0x02, 0x04


def varint(number: int) -> bytes:
    """Return the shortest variable-length integer (RFC 9000, 16)."""
    for power, size in enumerate((1, 2, 4, 8)):
        if number < 1 << 8 * size - 2:
            return (power << 8 * size - 2 | number).to_bytes(size, "big")
    raise ValueError(f"{number} is too large")


def stream_frame(stream: int, offset: int, data: bytes, *, fin: bool = False) -> bytes:
    """Return a STREAM frame with its length."""
    kind = STREAM | WITH_LENGTH | (WITH_OFFSET if offset else 0) | (WITH_FIN if fin else 0)
    place = varint(offset) if offset else b""
    return bytes([kind]) + varint(stream) + place + varint(len(data)) + data


def crypto_frame(offset: int, data: bytes) -> bytes:
    """Return a CRYPTO frame."""
    return CRYPTO + varint(offset) + varint(len(data)) + data


def ack_frame(largest: int, ranges: list[tuple[int, int]], *, first: int = 0) -> bytes:
    """Return an ACK frame.

    :param ranges: after the first one, the gaps and lengths as they are encoded.
    """
    numbers = [largest, 0, len(ranges), first, *(part for pair in ranges for part in pair)]
    return ACK + b"".join(map(varint, numbers))


def unknown_version() -> bytes:
    """Return a packet that every QUIC server answers (RFC 9000, section 6.1)."""
    packet = bytes([0xC0]) + bytes.fromhex("1a2a3a4a08") + os.urandom(8) + b"\x08" + os.urandom(8)
    return packet.ljust(1200, b"\0")


def unknown_link() -> bytes:
    """Return a packet that is answered with a stateless reset."""
    return bytes([0x40]) + os.urandom(99)


class PacketCrafter:
    """Seals 1-RTT packets with the keys of a connection that has shaken hands.

    :param engine: an `AioquicEngine`, or a connection of aioquic itself.
    """

    def __init__(self, engine: Engine | QuicConnection) -> None:
        self._engine: Any = engine

    def packet(self, frames: bytes, *, skipped: int = 0) -> bytes:
        """Return the connection's next packet, which is a datagram.

        :param skipped: packet numbers to leave out before it.
        """
        engine = self._engine
        number = engine._packet_number + skipped
        engine._packet_number = number + 1
        engine._loss._largest_sent = number  # or its acknowledgement would be an error
        header = bytes([0x41]) + engine._peer_cid.cid + (number & 0xFFFF).to_bytes(2, "big")
        payload = frames.ljust(PAYLOAD_MIN, PADDING)
        sealed: bytes = engine._cryptos[Epoch.ONE_RTT].encrypt_packet(header, payload, number)
        return sealed


def sealed_initial(
    frames: bytes, *, destination: bytes, source: bytes, number: int = 0, token: bytes = b""
) -> bytes:
    """Return a client's Initial packet. Anyone can make it: its keys follow from `destination`."""
    crypto = CryptoPair()
    crypto.setup_initial(destination, is_client=True, version=VERSION)
    ids = b"".join(bytes([len(cid)]) + cid for cid in (destination, source))
    header = bytes([0xC1]) + VERSION.to_bytes(4, "big") + ids + varint(len(token)) + token
    header += (0x4000 | len(frames) + 2 + 16).to_bytes(2, "big") + number.to_bytes(2, "big")
    return crypto.encrypt_packet(header, frames, number)
