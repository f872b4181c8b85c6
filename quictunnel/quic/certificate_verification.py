"""Whether a server's certificate holds: against authorities, a name, a pin. No engine, no sockets.

Engines hand over what was shown, unjudged, and the end that dials judges it here: the same words
whatever the engine.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from typing import TYPE_CHECKING

import certifi
import service_identity
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import crypto
from service_identity import cryptography as names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What `cryptography` raises of extensions, which it parses when they are first looked at."""


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate's DER, which a pin names."""
    return certificate.fingerprint(hashes.SHA256())


def verify(
    leaf: x509.Certificate,
    chain: Sequence[x509.Certificate],
    *,
    server_name: str | None,
    ca: Path | None,
) -> str | None:
    """Verify a server's certificate against a file of authorities, or the system's store.

    :param chain: what was sent along with the leaf.
    :param server_name: the name or address that it must bear, if any.

    Return None if it holds, else the reason in words.
    """
    return (
        _why_not_now(leaf)
        or (None if server_name is None else _why_not_the_name(leaf, server_name))
        or _why_not_trusted(leaf, chain, ca)
    )


def _why_not_now(leaf: x509.Certificate) -> str | None:
    now = datetime.datetime.now(datetime.UTC)
    clock = f"and by this machine's clock it is {now:%Y-%m-%d %H:%M}"
    if now < (begin := leaf.not_valid_before_utc):
        return f"it is not valid before {begin:%Y-%m-%d %H:%M}, {clock}"
    if now > (end := leaf.not_valid_after_utc):
        return f"it was valid until {end:%Y-%m-%d %H:%M}, {clock}"
    return None


def _why_not_the_name(leaf: x509.Certificate, name: str) -> str | None:
    """Hold a certificate against a DNS name or an IP address (RFC 9525)."""
    try:
        if _is_address(name):
            names.verify_certificate_ip_address(leaf, name)
        else:
            names.verify_certificate_hostname(leaf, name)
    except UNREADABLE:
        return "the certificate's extensions cannot be read"
    except service_identity.CertificateError:
        return f"it has no name that can be held against {name}"
    except service_identity.VerificationError:
        return f"it is for {', '.join(map(_text, names.extract_patterns(leaf)))}, not for {name}"
    return None


def _text(pattern: object) -> str:
    """Return a name that a certificate bears, of whatever kind, as people write it."""
    text = getattr(pattern, "pattern", pattern)
    return text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _why_not_trusted(
    leaf: x509.Certificate, chain: Sequence[x509.Certificate], ca: Path | None
) -> str | None:
    """Look for a way from a certificate to an authority (RFC 5280, 6)."""
    store = crypto.X509Store()
    try:
        store.load_locations(*_system_store() if ca is None else (str(ca), None))
        context = crypto.X509StoreContext(
            store,
            crypto.X509.from_cryptography(leaf),
            [crypto.X509.from_cryptography(certificate) for certificate in chain],
        )
        context.verify_certificate()
    except crypto.X509StoreContextError as exc:
        return str(exc.args[0])
    except crypto.Error:  # its words would help nobody
        return f"there are no authorities to be read in {ca or 'the system store'}"
    return None


def _system_store() -> tuple[str | None, str | None]:
    """Return the file and the directory of the system's authorities, or Mozilla's if it has none.

    A Python from python.org on macOS has none.
    """
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        return certifi.where(), None
    return paths.cafile, paths.capath
