"""TLS for aioquic: both ends' configurations, and the exporter."""

from __future__ import annotations

import platform
import ssl
from functools import cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from cryptography.hazmat.primitives import hashes

from quictunnel.quic.engines.selection import DEFAULT_CONGESTION

if TYPE_CHECKING:
    from aioquic.quic.events import ConnectionTerminated

    from quictunnel.quic.settings import LinkSettings, ServerTls

EXPORTER_LABEL = b"EXPORTER-quictunnel"
EXPORTER_SIZE = 32

CONNECTION_ID_SIZE = 8

BASE_DATAGRAM_SIZE = 1200
"""UDP payload that every path carries (RFC 9000, 14)."""

ALPN_MISMATCH = QuicErrorCode.CRYPTO_ERROR + tls.AlertDescription.no_application_protocol
"""The error of a handshake between ends that speak different protocols (RFC 9001, 8.1)."""

INITIAL_RTT = 0.1
"""Seconds assumed before the first sample: first retransmissions come after 200 ms, not 666."""


def server_configuration(server: ServerTls, settings: LinkSettings) -> QuicConfiguration:
    """Return aioquic's configuration of an end that accepts links."""
    configuration = _configuration(settings, is_client=False)
    configuration.certificate = server.chain[0]
    configuration.certificate_chain = list(server.chain[1:])
    configuration.private_key = server.key
    return configuration


def client_configuration(server_name: str | None, settings: LinkSettings) -> QuicConfiguration:
    """Return aioquic's configuration of an end that dials; verification is done afterwards."""
    configuration = _configuration(settings, is_client=True)
    configuration.server_name = server_name
    configuration.verify_mode = ssl.CERT_NONE
    return configuration


def _configuration(settings: LinkSettings, *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=[settings.alpn],
        cipher_suites=cipher_suites(),
        congestion_control_algorithm=settings.congestion or DEFAULT_CONGESTION,
        connection_id_length=CONNECTION_ID_SIZE,
        idle_timeout=settings.hold,
        initial_rtt=INITIAL_RTT,
        is_client=is_client,
        max_datagram_size=BASE_DATAGRAM_SIZE,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


@cache
def cipher_suites() -> list[tls.CipherSuite]:
    """Return the suites in order of preference: AES-128 first where the processor has AES."""
    aes = [tls.CipherSuite.AES_128_GCM_SHA256, tls.CipherSuite.AES_256_GCM_SHA384]
    chacha = [tls.CipherSuite.CHACHA20_POLY1305_SHA256]
    return aes + chacha if has_aes() else chacha + aes


def has_aes() -> bool:
    """Return whether the processor has instructions for AES; where it cannot be told, yes."""
    try:
        words = FilePath("/proc/cpuinfo").read_text().split()
    except OSError:  # not Linux: the machines of the last ten years have them
        return platform.machine().lower() in {"x86_64", "amd64", "arm64", "aarch64"}
    return "aes" in words


def derive_exporter(context: tls.Context) -> bytes:
    """Return the exporter of our label with an empty context (RFC 8446, 7.5).

    The handshake must be at the server's Finished: that is the transcript of the exporter secret.
    """
    schedule = context.key_schedule
    assert schedule is not None  # there are keys
    algorithm = schedule.algorithm
    master = schedule.derive_secret(b"exp master")
    empty = hashes.Hash(algorithm).finalize()
    secret = tls.hkdf_expand_label(algorithm, master, EXPORTER_LABEL, empty, algorithm.digest_size)
    return tls.hkdf_expand_label(algorithm, secret, b"exporter", empty, EXPORTER_SIZE)


def is_alpn_mismatch(closing: ConnectionTerminated) -> bool:
    """Return whether a connection has ended because the ends speak different protocols."""
    by_application = closing.frame_type is None
    return not by_application and closing.error_code == ALPN_MISMATCH
