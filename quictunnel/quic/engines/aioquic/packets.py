"""What must be read and written where there is no connection: headers, Retry, versions."""

from __future__ import annotations

import os
from dataclasses import dataclass

from aioquic._buffer import Buffer
from aioquic.quic.packet import (
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from quictunnel.quic.engines.aioquic.tls import BASE_DATAGRAM_SIZE, CONNECTION_ID_SIZE

FIRST_ID_MIN = 8
"""Bytes of the connection id that a newcomer chooses for us, at least (RFC 9000, 7.2)."""

VERSIONS = (QuicProtocolVersion.VERSION_1,)


def destination(data: bytes) -> bytes | None:
    """Return the connection id that a datagram is for; None if it is none of QUIC's."""
    if not data:
        return None
    if is_short(data):  # RFC 8999, 5.2
        return data[1 : 1 + CONNECTION_ID_SIZE] if len(data) > CONNECTION_ID_SIZE else None
    if len(data) < 6:
        return None
    end = 6 + data[5]  # long header (RFC 8999, 5.1): flags, version, length, id
    return data[6:end] if len(data) >= end else None


def is_short(data: bytes) -> bool:
    """Return whether a datagram, of a byte at least, begins as those of an open connection do."""
    return not data[0] & 0x80


@dataclass(frozen=True, slots=True)
class Initial:
    """The first packet of somebody new."""

    destination: bytes
    """The connection id that they chose for us."""
    source: bytes
    """Their own."""
    version: int
    token: bytes
    """From a Retry of ours, if there was one."""


def newcomer(data: bytes) -> Initial | bytes | None:
    """Return what a datagram for no known connection opens with.

    An `Initial` that may begin a connection; bytes that must be answered with (a version
    negotiation, RFC 9000, 6.1); or None: to be dropped.
    """
    if len(data) < BASE_DATAGRAM_SIZE:  # RFC 9000, 14.1: nothing smaller begins anything
        return None
    try:
        header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_SIZE)
    except ValueError:
        return None
    if header.packet_type is QuicPacketType.VERSION_NEGOTIATION:
        return None  # answering one would be a loop
    if header.version is not None and header.version not in VERSIONS:
        return encode_quic_version_negotiation(
            source_cid=header.destination_cid,
            destination_cid=header.source_cid,
            supported_versions=list(VERSIONS),
        )
    begins = header.packet_type is QuicPacketType.INITIAL
    if not begins or header.version is None or len(header.destination_cid) < FIRST_ID_MIN:
        return None
    return Initial(header.destination_cid, header.source_cid, header.version, header.token)


class Retries:
    """Makes newcomers show that their address is their own (RFC 9000, 8.1.2). Keeps no state."""

    def __init__(self) -> None:
        self._tokens = QuicRetryTokenHandler()

    def ask(self, initial: Initial, path: tuple[str, int, bytes], now: float) -> bytes:
        """Return the Retry packet that answers a newcomer."""
        source = os.urandom(CONNECTION_ID_SIZE)
        token = self._tokens.create_token(
            address=path[:2],
            original_destination_connection_id=initial.destination,
            retry_source_connection_id=source,
            now=now,
        )
        return encode_quic_retry(
            version=initial.version,
            source_cid=source,
            destination_cid=initial.source,
            original_destination_cid=initial.destination,
            retry_token=token,
        )

    def check(self, initial: Initial, path: tuple[str, int, bytes], now: float) -> bytes | None:
        """Return the first packet's destination id if its token is good, else None."""
        try:
            return self._tokens.validate_token(
                address=path[:2],
                destination_cid=initial.destination,
                token=initial.token,
                now=now,
            )
        except ValueError:
            return None
