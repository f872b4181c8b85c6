"""Which tokens and certificates a remote and an origin in one process accept."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from roles_in_process import refused

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.self_signed import key_pem, make_key, make_self_signed
from quictunnel.config.tokens import Token
from quictunnel.protocol.codes import Code
from quictunnel.remote import session as remote_session


@pytest.fixture
def no_delay(monkeypatch):
    monkeypatch.setattr(remote_session, "PROOF_FAILURE_DELAY", 0)


@pytest.mark.usefixtures("no_delay")
async def test_a_wrong_secret_is_rejected(roles):
    origin = await roles.start_origin(token=Token(roles.token.id, "w" * 32))
    assert (await refused(origin)).code == Code.BAD_TOKEN


@pytest.mark.usefixtures("no_delay")
async def test_an_unknown_token_is_rejected_with_the_same_words(roles):
    wrong = await refused(await roles.start_origin(token=Token(roles.token.id, "w" * 32)))
    unknown = await refused(await roles.start_origin(token=Token("nobody", "w" * 32)))
    assert (unknown.code, unknown.message) == (wrong.code, wrong.message)


@pytest.mark.usefixtures("no_delay")
async def test_a_pinned_remote_rejects_an_origin_without_a_token(roles):
    pin = roles.certificates.current.fingerprint
    origin = await roles.start_origin(token=None, pin=pin)
    assert (await refused(origin)).code == Code.NO_TOKEN


async def test_an_origin_without_token_and_verification_rejects_the_remote(roles):
    origin = await roles.start_origin(token=None)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_a_certificate_other_than_the_pinned_one_is_rejected(roles):
    origin = await roles.start_origin(pin=bytes(32))
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_the_pinned_certificate_is_accepted(roles):
    await roles.up(pin=roles.certificates.current.fingerprint)


async def test_a_certificate_in_the_ca_file_is_accepted(roles):
    await roles.up(ca=roles.certificates.cert, remote=HostPort("localhost", roles.port))


async def test_a_certificate_in_the_ca_file_for_another_name_is_rejected(roles, tmp_path):
    roles.certificates = a_certificate_for("elsewhere.example", tmp_path)
    roles.remote = await roles.start_remote()
    origin = await roles.start_origin(ca=roles.certificates.cert)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_a_certificate_that_is_not_in_the_ca_file_is_rejected(roles, tmp_path):
    other = a_certificate_for("localhost", tmp_path)
    origin = await roles.start_origin(ca=other.cert)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


def a_certificate_for(name: str, directory: Path) -> CertificateFiles:
    cert, key = directory / "other.pem", directory / "other.key"
    private = make_key()
    key.write_bytes(key_pem(private))
    cert.write_bytes(make_self_signed([name], private).public_bytes(Encoding.PEM))
    return CertificateFiles(cert, key)
