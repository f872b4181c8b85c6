"""Verifies a server's certificate against authorities, a name and a pin.

Engines pass on the certificates unverified, so that every engine applies the same rules.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING

import service_identity
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import crypto
from service_identity import cryptography as names

from quictunnel.quic.system_store import system_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""Errors that `cryptography` raises when it parses extensions, at their first use."""


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate's DER, as a pin names it."""
    return certificate.fingerprint(hashes.SHA256())


def verify(
    leaf: x509.Certificate,
    chain: Sequence[x509.Certificate],
    *,
    server_name: str | None,
    ca: Path | None,
) -> str | None:
    """Verify a server's certificate.

    :param chain: the certificates sent after the leaf.
    :param server_name: the host name or IP address that it must be valid for, if any.
    :param ca: PEM file of authorities; None for the system's store.
    :return: None if it is valid, otherwise the reason in words.
    """
    return (
        _check_dates(leaf)
        or (None if server_name is None else _check_name(leaf, server_name))
        or _check_chain(leaf, chain, ca)
    )


def _check_dates(leaf: x509.Certificate) -> str | None:
    now = datetime.datetime.now(datetime.UTC)
    clock = f"and this machine's clock says {now:%Y-%m-%d %H:%M}"
    if now < (begin := leaf.not_valid_before_utc):
        return f"it is not valid before {begin:%Y-%m-%d %H:%M}, {clock}"
    if now > (end := leaf.not_valid_after_utc):
        return f"it was valid until {end:%Y-%m-%d %H:%M}, {clock}"
    return None


def _check_name(leaf: x509.Certificate, name: str) -> str | None:
    """Match the certificate with a DNS name or an IP address (RFC 9525)."""
    try:
        if _is_address(name):
            names.verify_certificate_ip_address(leaf, name)
        else:
            names.verify_certificate_hostname(leaf, name)
    except UNREADABLE:
        return "the certificate's extensions cannot be read"
    except service_identity.CertificateError:
        return f"it has no name to compare with {name}"
    except service_identity.VerificationError:
        return f"it is for {', '.join(map(_text, names.extract_patterns(leaf)))}, not for {name}"
    return None


def _text(pattern: object) -> str:
    """Return a name of a certificate as text."""
    text = getattr(pattern, "pattern", pattern)
    return text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_chain(
    leaf: x509.Certificate, chain: Sequence[x509.Certificate], ca: Path | None
) -> str | None:
    """Build a chain to an authority (RFC 5280, section 6)."""
    store = crypto.X509Store()
    try:
        store.load_locations(*system_store() if ca is None else (str(ca), None))
        context = crypto.X509StoreContext(
            store,
            crypto.X509.from_cryptography(leaf),
            [crypto.X509.from_cryptography(certificate) for certificate in chain],
        )
        context.verify_certificate()
    except crypto.X509StoreContextError as exc:
        return str(exc.args[0])
    except crypto.Error:  # its text does not help a user
        return f"no authorities could be read from {ca or 'the system store'}"
    return None
