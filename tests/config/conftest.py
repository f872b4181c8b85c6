"""Certificates and keys for the tests of files."""

from __future__ import annotations

import pytest

from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed


@pytest.fixture
def write_pair(tmp_path):
    """Write a certificate and its key; each call another pair, into the same files."""

    def write(key=None, **options):
        key = key or make_key()
        cert_path, key_path = tmp_path / "cert.pem", tmp_path / "key.pem"
        cert_path.write_bytes(certificate_pem(make_self_signed(["example.com"], key, **options)))
        key_path.touch(mode=0o600)
        key_path.write_bytes(key_pem(key))
        return cert_path, key_path

    return write
