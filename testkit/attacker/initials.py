"""QUIC Initial packets without connections: an attacker precomputes them, and keeps no state."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import partial

from aioquic import tls
from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, QuicProtocolVersion, pull_quic_header

from quictunnel.protocol.codes import ALPN
from testkit.crafted_packets import PADDING, crypto_frame, sealed_initial

DATAGRAM = 1200
"""Bytes of a datagram with an Initial packet (RFC 9000, section 14.1)."""

ID_SIZE = 8
"""Bytes of a connection ID."""


@dataclass(frozen=True)
class Template:
    """A ClientHello, and the connection ID that its transport parameters name."""

    hello: bytes
    source_id: bytes


@dataclass(frozen=True)
class RetryPacket:
    """The demands of a Retry."""

    source_id: bytes
    """The connection ID to send to from now on."""
    token: bytes


def configuration() -> QuicConfiguration:
    """Return the configuration of an origin that checks nothing."""
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        connection_id_length=ID_SIZE,
        is_client=True,
        max_datagram_size=DATAGRAM,
        server_name="remote.example.com",
        supported_versions=[QuicProtocolVersion.VERSION_1],
        verify_mode=ssl.CERT_NONE,
    )


def template() -> Template:
    """Return a ClientHello as an origin sends it."""
    connection = QuicConnection(configuration=configuration())
    connection.connect(("192.0.2.1", 9001), now=0.0)
    sender = connection._crypto_streams[tls.Epoch.INITIAL].sender  # noqa: SLF001
    return Template(bytes(sender._buffer), connection.host_cid)  # noqa: SLF001


def initial(
    destination: bytes, source: bytes, payload: bytes, *, number: int = 0, token: bytes = b""
) -> bytes:
    """Return a datagram with an Initial packet.

    :param destination: the connection ID of the remote. The keys follow from it.
    :param payload: frames, which are padded.
    """
    seal = partial(
        sealed_initial, destination=destination, source=source, number=number, token=token
    )
    missing = DATAGRAM - len(seal(payload))
    return seal(payload.ljust(len(payload) + missing, PADDING))


def half_open(origin: Template) -> bytes:
    """Return a datagram that starts a handshake, of which the attacker sends nothing more."""
    return initial(os.urandom(ID_SIZE), origin.source_id, crypto_frame(0, origin.hello))


def unfinished(origin: Template, payloads: list[bytes]) -> list[bytes]:
    """Return the datagrams of one connection whose ClientHello never becomes complete."""
    destination = os.urandom(ID_SIZE)
    return [
        initial(destination, origin.source_id, payload, number=number)
        for number, payload in enumerate(payloads)
    ]


def read_retry(data: bytes) -> RetryPacket | None:
    """Return what a datagram asks for, or None if it is no Retry."""
    try:
        header = pull_quic_header(Buffer(data=data), host_cid_length=ID_SIZE)
    except ValueError:
        return None
    if header.packet_type is not QuicPacketType.RETRY:
        return None
    return RetryPacket(header.source_cid, header.token)
