"""Packets outside of a connection: headers, Retry and version negotiation."""

from __future__ import annotations

import os

from aioquic._buffer import Buffer
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from quictunnel.quic.engines.aioquic.tls import BASE_DATAGRAM_SIZE, CONNECTION_ID_SIZE
from quictunnel.quic.limits import PACKETS_PER_DATAGRAM

FIRST_ID_MIN = 8
"""Bytes of the connection ID that a client chooses for the server, at least (RFC 9000, 7.2)."""

VERSIONS = (QuicProtocolVersion.VERSION_1,)
"""The versions of QUIC that we speak."""


def destination(data: bytes) -> bytes | None:
    """Return the destination connection ID of a datagram; None if it is not QUIC."""
    if not data:
        return None
    if is_short(data):  # RFC 8999, 5.2
        return data[1 : 1 + CONNECTION_ID_SIZE] if len(data) > CONNECTION_ID_SIZE else None
    if len(data) < 6:
        return None
    end = 6 + data[5]  # long header (RFC 8999, 5.1): flags, version, length, ID
    return data[6:end] if len(data) >= end else None


def is_short(data: bytes) -> bool:
    """Return whether a datagram, which is not empty, starts with a short header."""
    return not data[0] & 0x80


def is_overfull(data: bytes) -> bool:
    """Return whether a datagram joins more packets than any honest one (RFC 9000, 12.2).

    Each of them costs a decryption, even if it is only a few random bytes.
    """
    buf = Buffer(data=data)
    start = packets = 0
    while start < len(data) and not is_short(data[start:]) and packets <= PACKETS_PER_DATAGRAM:
        packets += 1
        try:
            start += pull_quic_header(buf, host_cid_length=CONNECTION_ID_SIZE).packet_length
        except ValueError:
            break  # the connection drops the rest too
        buf.seek(start)
    return packets > PACKETS_PER_DATAGRAM


def parse_initial(data: bytes) -> QuicHeader | bytes | None:
    """Return what a datagram for no known connection starts with.

    :return: the header of an Initial that may start a connection; bytes to answer with (version
        negotiation, RFC 9000, 6.1); or None to drop it.
    """
    if len(data) < BASE_DATAGRAM_SIZE:  # RFC 9000, 14.1
        return None
    try:
        header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_SIZE)
    except ValueError:
        return None
    if header.packet_type is QuicPacketType.VERSION_NEGOTIATION:
        return None  # answering one could loop
    if header.version is not None and header.version not in VERSIONS:
        return encode_quic_version_negotiation(
            source_cid=header.destination_cid,
            destination_cid=header.source_cid,
            supported_versions=list(VERSIONS),
        )
    is_initial = header.packet_type is QuicPacketType.INITIAL
    if not is_initial or header.version is None or len(header.destination_cid) < FIRST_ID_MIN:
        return None
    return header


class Retries:
    """Makes clients prove their address (RFC 9000, 8.1.2), without state on our side."""

    def __init__(self) -> None:
        self._tokens = QuicRetryTokenHandler()

    def ask(self, initial: QuicHeader, path: tuple[str, int, bytes], now: float) -> bytes:
        """Return the Retry packet that answers an Initial."""
        assert initial.version is not None  # it has a long header
        source = os.urandom(CONNECTION_ID_SIZE)
        token = self._tokens.create_token(
            address=path[:2],
            original_destination_connection_id=initial.destination_cid,
            retry_source_connection_id=source,
            now=now,
        )
        return encode_quic_retry(
            version=initial.version,
            source_cid=source,
            destination_cid=initial.source_cid,
            original_destination_cid=initial.destination_cid,
            retry_token=token,
        )

    def check(self, initial: QuicHeader, path: tuple[str, int, bytes], now: float) -> bytes | None:
        """Return the destination ID of the client's first Initial if it bears a valid token."""
        if not initial.token:
            return None
        try:
            return self._tokens.validate_token(
                address=path[:2],
                destination_cid=initial.destination_cid,
                token=initial.token,
                now=now,
            )
        except ValueError:
            return None
