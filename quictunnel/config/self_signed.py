"""Creates self-signed certificates. A peer trusts one because of a pin or a token."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quictunnel.config.certificates import PrivateKey
from quictunnel.errors import SettingsError

TEN_YEARS = timedelta(days=3650)
"""Lifetime of a certificate. Trust in it comes from a pin or a token, so it need not be short."""

_CLOCK_SKEW = timedelta(days=1)
"""How far validity starts in the past, for machines whose clock is slow."""

_MAX_COMMON_NAME = 64
"""Characters in a common name (X.520, ub-common-name)."""


def make_key() -> ec.EllipticCurvePrivateKey:
    """Return a new ECDSA key on P-256, which every TLS 1.3 peer supports (RFC 8446, 9.1)."""
    return ec.generate_private_key(ec.SECP256R1())


def make_self_signed(
    names: Sequence[str],
    key: PrivateKey,
    *,
    now: datetime | None = None,
    lifetime: timedelta = TEN_YEARS,
) -> x509.Certificate:
    """Return a server certificate that is signed with its own key.

    :param names: the server's host names and IP addresses, at least one.
    :raises SettingsError: there is no name, or one is malformed.
    """
    if not names:
        raise SettingsError("a certificate needs at least one name")
    alternatives = [_general_name(name) for name in dict.fromkeys(names)]
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, str(alternatives[0].value)[:_MAX_COMMON_NAME])]
    )
    start = (now or datetime.now(UTC)).replace(microsecond=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCK_SKEW)
        .not_valid_after(start + lifetime)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def key_pem(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PEM (PKCS 8). Store it only in a file of mode 0600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass  # try it as a host name
    try:
        ascii_name = name.encode("ascii" if name.isascii() else "idna").decode("ascii")
        if not ascii_name or not ascii_name.isprintable() or " " in ascii_name:
            raise ValueError
        return x509.DNSName(ascii_name)
    except ValueError:  # includes UnicodeError
        raise SettingsError(f"{name!r} is neither a host name nor an IP address") from None
