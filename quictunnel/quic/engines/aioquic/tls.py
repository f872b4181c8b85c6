"""TLS and QUIC configurations of aioquic, and the TLS exporter."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from cryptography.hazmat.primitives import hashes

from quictunnel.quic.engines.aioquic.qlog import Recorder
from quictunnel.quic.engines.selection import DEFAULT_CONGESTION

if TYPE_CHECKING:
    from quictunnel.quic.settings import LinkSettings, ServerTls

EXPORTER_LABEL = b"EXPORTER-quictunnel"
EXPORTER_SIZE = 32

CONNECTION_ID_SIZE = 8

BASE_DATAGRAM_SIZE = 1200
"""UDP payload that every path carries (RFC 9000, 14)."""

ALPN_MISMATCH = QuicErrorCode.CRYPTO_ERROR + tls.AlertDescription.no_application_protocol
"""The error of a handshake without a common application protocol (RFC 9001, 8.1)."""

CIPHER_SUITES = [
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
]
"""In order of preference. Even without AES instructions, ciphers are fast beside the rest."""

INITIAL_RTT = 0.1
"""Seconds of round-trip time assumed before the first sample. The first probe is sent after 200 ms,
not 666 as in RFC 9002."""


def server_configuration(server: ServerTls, settings: LinkSettings) -> QuicConfiguration:
    """Return the configuration of an endpoint that accepts connections."""
    configuration = _configuration(settings, is_client=False)
    configuration.certificate = server.chain[0]
    configuration.certificate_chain = list(server.chain[1:])
    configuration.private_key = server.key
    return configuration


def client_configuration(server_name: str | None, settings: LinkSettings) -> QuicConfiguration:
    """Return the configuration of an endpoint that connects. Certificates are verified later."""
    configuration = _configuration(settings, is_client=True)
    configuration.server_name = server_name
    configuration.verify_mode = ssl.CERT_NONE
    return configuration


def _configuration(settings: LinkSettings, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=[settings.alpn],
        cipher_suites=CIPHER_SUITES,
        congestion_control_algorithm=settings.congestion or DEFAULT_CONGESTION,
        connection_id_length=CONNECTION_ID_SIZE,
        idle_timeout=settings.hold,
        initial_rtt=INITIAL_RTT,
        is_client=is_client,
        max_datagram_size=BASE_DATAGRAM_SIZE,
        quic_logger=None if settings.qlog is None else Recorder(settings.qlog),
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


def derive_exporter(context: tls.Context) -> bytes:
    """Return the exporter of our label with an empty context (RFC 8446, 7.5).

    To be called when the transcript ends with the server's Finished.
    """
    schedule = context.key_schedule
    assert schedule is not None  # there are keys
    algorithm = schedule.algorithm
    master = schedule.derive_secret(b"exp master")
    empty = hashes.Hash(algorithm).finalize()
    secret = tls.hkdf_expand_label(algorithm, master, EXPORTER_LABEL, empty, algorithm.digest_size)
    return tls.hkdf_expand_label(algorithm, secret, b"exporter", empty, EXPORTER_SIZE)
