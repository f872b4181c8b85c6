"""Whom a remote and an origin in one process let in."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from town import refused

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
async def test_a_wrong_secret_is_refused(town):
    origin = await town.an_origin(token=Token(town.token.id, "w" * 32))
    assert (await refused(origin)).code == Code.BAD_TOKEN


@pytest.mark.usefixtures("no_delay")
async def test_an_unknown_token_is_refused_with_the_same_words(town):
    wrong = await refused(await town.an_origin(token=Token(town.token.id, "w" * 32)))
    unknown = await refused(await town.an_origin(token=Token("nobody", "w" * 32)))
    assert (unknown.code, unknown.message) == (wrong.code, wrong.message)


@pytest.mark.usefixtures("no_delay")
async def test_without_a_token_even_a_pinned_remote_refuses(town):
    pin = town.certificates.current.fingerprint
    origin = await town.an_origin(token=None, pin=pin)
    assert (await refused(origin)).code == Code.NO_TOKEN


async def test_nothing_verified_and_no_token_is_refused_by_the_origin(town):
    origin = await town.an_origin(token=None)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_another_certificate_than_the_pinned_one_is_refused(town):
    origin = await town.an_origin(pin=bytes(32))
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_the_pinned_certificate_is_accepted(town):
    await town.up(pin=town.certificates.current.fingerprint)


async def test_a_remote_vouched_for_by_the_ca_file_is_accepted(town):
    await town.up(ca=town.certificates.cert, remote=HostPort("localhost", town.port))


async def test_the_ca_file_does_not_vouch_for_another_name(town, tmp_path):
    town.certificates = a_certificate_for("elsewhere.example", tmp_path)
    town.remote = await town.a_remote()
    origin = await town.an_origin(ca=town.certificates.cert)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_another_ca_file_does_not_vouch_at_all(town, tmp_path):
    other = a_certificate_for("localhost", tmp_path)
    origin = await town.an_origin(ca=other.cert)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


def a_certificate_for(name: str, directory: Path) -> CertificateFiles:
    cert, key = directory / "other.pem", directory / "other.key"
    private = make_key()
    key.write_bytes(key_pem(private))
    cert.write_bytes(make_self_signed([name], private).public_bytes(Encoding.PEM))
    return CertificateFiles(cert, key)
