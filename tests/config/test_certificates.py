"""Certificate files: good, bad, renewed."""

from __future__ import annotations

import base64
import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from quictunnel.config.certificates import (
    CertificateFiles,
    format_pin,
    load_authorities,
    load_key,
    load_pair,
    parse_pin,
)
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.errors import SettingsError
from quictunnel.events import CertificateOutOfDate, CertificateRejected

PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


def test_a_pair_and_its_fingerprint(write_pair):
    pair = load_pair(*write_pair())
    der = pair.leaf.public_bytes(Encoding.DER)
    assert pair.fingerprint == hashlib.sha256(der).digest()


def test_the_time_when_a_certificate_expires(write_pair):
    pair = load_pair(*write_pair())
    assert datetime.fromisoformat(pair.expires) == pair.leaf.not_valid_after_utc


def test_a_chain_keeps_its_order(write_pair):
    cert, key = write_pair()
    leaf = cert.read_bytes()
    above = certificate_pem(make_self_signed(["authority"], make_key()))
    cert.write_bytes(leaf + b"a remark between\n" + above)
    assert [certificate_pem(one) for one in load_pair(cert, key).chain] == [leaf, above]


def test_one_file_may_hold_both(write_pair):
    cert, key = write_pair()
    cert.write_bytes(key.read_bytes() + cert.read_bytes())
    assert load_pair(cert, cert).leaf == load_pair(cert, key).leaf


@pytest.mark.parametrize("kind", ["PKCS8", "TraditionalOpenSSL"])
def test_rsa_keys_in_both_forms(write_pair, kind):
    private = rsa.generate_private_key(65537, 2048)
    cert, key = write_pair(private)
    key.write_bytes(
        private.private_bytes(Encoding.PEM, getattr(PrivateFormat, kind), NoEncryption())
    )
    assert load_pair(cert, key).leaf.public_key() == private.public_key()


def test_a_key_that_does_not_fit(write_pair):
    cert, key = write_pair()
    key.write_bytes(key_pem(make_key()))
    with pytest.raises(SettingsError, match="do not match"):
        load_pair(cert, key)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff" * 99])
def test_garbage_instead_of_a_certificate(write_pair, content):
    cert, key = write_pair()
    cert.write_bytes(content)
    with pytest.raises(SettingsError, match="no valid certificate in PEM"):
        load_pair(cert, key)


def test_a_certificate_of_a_version_that_does_not_exist(write_pair):
    cert, key = write_pair()
    der = load_pair(cert, key).leaf.public_bytes(Encoding.DER)
    other = base64.b64encode(der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101")))
    cert.write_bytes(PEM % other)
    with pytest.raises(SettingsError, match="no valid certificate in PEM"):
        load_pair(cert, key)


def test_a_certificate_cut_in_half(write_pair):
    cert, key = write_pair()
    content = cert.read_bytes()
    cert.write_bytes(content[:200] + content[-30:])
    with pytest.raises(SettingsError, match="no valid certificate in PEM"):
        load_pair(cert, key)


def test_der_is_recognised(write_pair):
    cert, key = write_pair()
    cert.write_bytes(load_pair(cert, key).leaf.public_bytes(Encoding.DER))
    with pytest.raises(SettingsError, match="looks like DER"):
        load_pair(cert, key)


def test_the_certificate_given_as_key(write_pair):
    cert, _ = write_pair()
    with pytest.raises(SettingsError, match="no private key"):
        load_key(cert)


def test_a_damaged_key_is_not_repeated(write_pair):
    _, key = write_pair()
    key.write_bytes(key.read_bytes().replace(b"\nM", b"\nX", 1))
    with pytest.raises(SettingsError, match="damaged") as caught:
        load_key(key)
    assert caught.value.__suppress_context__


def test_an_encrypted_key(write_pair):
    _, key = write_pair()
    protected = BestAvailableEncryption(b"password")
    key.write_bytes(make_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protected))
    with pytest.raises(SettingsError, match="encrypted"):
        load_key(key)


@pytest.mark.parametrize(
    ("private", "word"),
    [
        (rsa.generate_private_key(65537, 1024), "1024 bits"),
        (ec.generate_private_key(ec.SECP521R1()), "secp521r1"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
    ids=["small", "curve", "kind"],
)
def test_keys_that_cannot_be_used(tmp_path, private, word):
    path = tmp_path / "key"
    path.write_bytes(key_pem(private))
    with pytest.raises(SettingsError, match=word):
        load_key(path)


def test_a_key_that_is_not_there(write_pair, tmp_path):
    cert, _ = write_pair()
    with pytest.raises(SettingsError, match=r"the key .*none.* cannot be read: no such file"):
        load_pair(cert, tmp_path / "none")


@pytest.mark.parametrize(("start", "reason"), [(-30, "expired at"), (30, "not valid before")])
def test_a_certificate_out_of_date_is_used_with_a_warning(write_pair, start, reason):
    events = []
    begin = datetime.now(UTC) + timedelta(days=start)
    cert, key = write_pair(now=begin, lifetime=timedelta(days=20))
    CertificateFiles(cert, key, events.append)
    (event,) = events
    assert isinstance(event, CertificateOutOfDate)
    assert event.file == str(cert)
    assert event.reason.startswith(reason)


def test_a_ca_file(write_pair, tmp_path):
    cert, key = write_pair()
    assert len(load_authorities(cert)) == 1
    with pytest.raises(SettingsError, match="the CA file"):
        load_authorities(key)


def test_an_authority_that_breaks_a_rule_of_today_is_taken_without_a_word(write_pair, recwarn):
    cert, _ = write_pair()
    der = bytearray(x509.load_pem_x509_certificate(cert.read_bytes()).public_bytes(Encoding.DER))
    serial = der.index(b"\xa0\x03\x02\x01\x02\x02") + 7  # behind the version and a length
    der[serial] |= 0x80  # negative, which RFC 5280 does not allow (4.1.2.2)
    cert.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))
    assert len(load_authorities(cert)) == 1
    assert not recwarn.list


def test_renewed_files_are_read_again(write_pair):
    files = CertificateFiles(*write_pair())
    first = files.current
    assert not files.reload_if_changed()
    assert files.current is first
    write_pair()
    assert files.reload_if_changed()
    assert files.current.leaf != first.leaf
    assert not files.reload_if_changed()


def test_while_only_half_is_renewed_the_old_pair_stays_and_it_is_reported_once(write_pair):
    events = []
    cert, key = write_pair()
    files = CertificateFiles(cert, key, events.append)
    first, old_key = files.current, key.read_bytes()
    write_pair()
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    assert not files.reload_if_changed()
    assert not files.reload_if_changed()
    assert files.current is first
    assert [type(event) for event in events] == [CertificateRejected]
    # The other half: another time or size or inode than before, whatever the clock's grain.
    key.unlink()
    key.write_bytes(new_key + b"\n")
    assert files.reload_if_changed()


def test_a_pair_that_cannot_be_used_leaves_the_old_one_and_is_reported_once(write_pair):
    def refuse(pair):
        tried.append(pair)
        raise SettingsError("the engine cannot use this")

    tried, events = [], []
    cert, key = write_pair()
    files = CertificateFiles(cert, key, events.append)
    first = files.current
    write_pair()
    assert not files.reload_if_changed(refuse)
    assert not files.reload_if_changed(refuse)
    assert len(tried) == 1
    assert files.current is first
    assert events == [CertificateRejected(str(cert), "the engine cannot use this")]
    write_pair()
    assert files.reload_if_changed(tried.append)
    assert files.current is tried[1]


def test_files_that_vanish_leave_the_old_pair(write_pair):
    cert, key = write_pair()
    files = CertificateFiles(cert, key)
    cert.unlink()
    assert not files.reload_if_changed()
    assert files.current.leaf is not None


def test_files_that_were_only_touched_are_no_new_pair(write_pair):
    cert, key = write_pair()
    files = CertificateFiles(cert, key)
    cert.write_bytes(cert.read_bytes() + b"\n")
    assert not files.reload_if_changed()


DIGEST = bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [
        DIGEST.hex(),
        f"sha256:{DIGEST.hex()}",
        f"SHA256:{DIGEST.hex().upper()}",
        f"sha256 Fingerprint={DIGEST.hex(':')}",
        f" {DIGEST.hex(':').upper()} ",
    ],
)
def test_pins_in_every_spelling(text):
    assert parse_pin(text) == DIGEST


def test_a_pin_comes_back():
    assert parse_pin(format_pin(DIGEST)) == DIGEST


@pytest.mark.parametrize(
    "text", ["", "sha256:", DIGEST.hex()[:-1], f"sha1:{DIGEST.hex()}", "g" * 64]
)
def test_bad_pins(text):
    with pytest.raises(SettingsError, match="not a pin"):
        parse_pin(text)


def test_a_self_signed_certificate_carries_its_names():
    certificate = make_self_signed(["bücher.example", "192.0.2.1", "::1"], make_key())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["xn--bcher-kva.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "::1"]


@pytest.mark.parametrize("names", [[], [""], ["two words"], ["a\n"]])
def test_a_self_signed_certificate_needs_proper_names(names):
    with pytest.raises(SettingsError):
        make_self_signed(names, make_key())
