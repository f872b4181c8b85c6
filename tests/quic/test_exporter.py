"""The TLS exporter: equal at both ends, new on each connection, derived as RFC 8446 says."""

from __future__ import annotations

import io
import struct

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pair import Engines, Pair

from quictunnel.quic.engines.aioquic import tls
from quictunnel.quic.engines.aioquic.connection import AioquicEngine

SHA256_OF_NOTHING = bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)


def expand_label(secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with SHA-256, written from RFC 8446, 7.1."""
    full = b"tls13 " + label
    info = struct.pack("!HB", size, len(full)) + full + struct.pack("!B", len(context)) + context
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def test_both_ends_derive_the_same(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    assert len(pair.client.engine.exporter) == 32
    assert pair.client.engine.exporter == pair.server.engine.exporter


def test_each_connection_has_another(engines: Engines) -> None:
    assert len({Pair.trusting(engines=engines).client.engine.exporter for _ in range(3)}) == 3


def test_there_is_none_before_the_handshake(engines: Engines) -> None:
    assert Pair(engines=engines).client.engine.exporter == b""


def test_the_derivation_is_that_of_rfc_8446(
    monkeypatch: pytest.MonkeyPatch, met_by_aioquic: Engines
) -> None:
    """7.5: from the master secret and the transcript up to the server's Finished.

    The master secret is proven to be the right one by the traffic secret that comes of it and of
    the same transcript, and that aioquic logs as it installs it.
    """
    log = io.StringIO()
    configure = tls.client_configuration

    def configured(*arguments):
        configuration = configure(*arguments)
        configuration.secrets_log_file = log
        configuration.cipher_suites = [tls.tls.CipherSuite.AES_128_GCM_SHA256]
        return configuration

    monkeypatch.setattr(tls, "client_configuration", configured)
    secrets: dict[str, bytes] = {}
    install = AioquicEngine._update_traffic_key

    def spy(engine, direction, epoch, cipher_suite, secret) -> None:
        schedule = engine.tls.key_schedule
        at_client = direction is tls.tls.Direction.DECRYPT and engine is pair.client.engine
        if at_client and epoch is tls.tls.Epoch.ONE_RTT:
            secrets["master"] = schedule.secret
            secrets["transcript"] = schedule.hash.copy().finalize()
        install(engine, direction, epoch, cipher_suite, secret)

    monkeypatch.setattr(AioquicEngine, "_update_traffic_key", spy)
    pair = Pair(engines=met_by_aioquic)
    pair.run(lambda: all(end.handshakes for end in pair.ends))

    logged = {
        label: bytes.fromhex(secret)
        for label, _, secret in map(str.split, log.getvalue().splitlines())
    }
    master, transcript = secrets["master"], secrets["transcript"]
    assert (
        expand_label(master, b"s ap traffic", transcript, 32) == logged["SERVER_TRAFFIC_SECRET_0"]
    )
    exporter_master = expand_label(master, b"exp master", transcript, 32)
    derived = expand_label(exporter_master, b"EXPORTER-quictunnel", SHA256_OF_NOTHING, 32)
    expected = expand_label(derived, b"exporter", SHA256_OF_NOTHING, 32)
    assert pair.client.engine.exporter == expected
    assert pair.server.engine.exporter == expected
