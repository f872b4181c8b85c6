"""Certificates from files: read, checked against their key, read again when they change.

Whether a peer's certificate is to be trusted is not decided here, but in the TLS handshake.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning

from quictunnel.config.files import quoted, read_bytes, warn_if_open, why
from quictunnel.errors import SettingsError
from quictunnel.observe.logging_setup import fact

_log = logging.getLogger("quictunnel.config")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""The kinds of key with which a remote can sign its handshake (TLS 1.3)."""

FINGERPRINT_BYTES = 32
MIN_RSA_BITS = 2048
"""What browsers and OpenSSL's own default ask for."""

CURVES = ("secp256r1", "secp384r1")
"""What every TLS 1.3 peer knows, and what public authorities sign (RFC 8446, 9.1)."""

_PEM_KEY = re.compile(
    rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.+?-----END \1PRIVATE KEY-----", re.DOTALL
)
_PIN_PREFIX = re.compile(r"^sha-?256(?: fingerprint)?[:=]", re.IGNORECASE)
_PIN = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DER_START = b"\x30\x82"
"""How a certificate or key begins that is not PEM: an ASN.1 SEQUENCE of more than 255 bytes."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate with all that a server needs to show it."""

    chain: tuple[x509.Certificate, ...]
    """The leaf first, then those that vouch for it."""

    key: PrivateKey = field(repr=False)
    """The leaf's private key."""

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that the key belongs to."""
        return self.chain[0]

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of the leaf's DER: what `--pin` names."""
        return self.leaf.fingerprint(hashes.SHA256())


class CertificateFiles:
    """A certificate's two files, and what they held when they were last good.

    A key that others can read is taken, and logged as a warning.

    :raises SettingsError: when they are not good at the start.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self.cert = cert
        self.key = key
        self._seen = _signature(cert, key)
        self._current = load_pair(cert, key)
        warn_if_open(key)

    @property
    def current(self) -> ServerCertificate:
        """The pair to show in new handshakes."""
        return self._current

    def reload_if_changed(self, use: Callable[[ServerCertificate], None] = lambda _: None) -> bool:
        """Read the files again if they are others than before; True if there is a new pair.

        Costs two stat calls where nothing changed. A pair that is not good (half renewed, say) is
        logged, once, and the old one stays until the files change again.

        :param use: takes the new pair into use; raises SettingsError where it cannot be used.
        """
        # Taken before reading: what changes while we read is then seen the next time.
        seen = _signature(self.cert, self.key)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            renewed = load_pair(self.cert, self.key)
            if renewed.chain == self._current.chain:
                return False
            use(renewed)
        except SettingsError as exc:
            fact(_log, logging.WARNING, "new certificate not usable, keeping the old", error=exc)
            return False
        self._current = renewed
        warn_if_open(self.key)
        fact(_log, logging.INFO, "certificate renewed", pin=format_pin(renewed.fingerprint))
        return True


def load_pair(cert: Path, key: Path) -> ServerCertificate:
    """Return the certificate chain and the private key of two PEM files (they may be the same).

    A leaf that has expired, or is not valid yet, is taken, and logged as a warning.

    :raises SettingsError: when one cannot be read or used, or they do not belong together.
    """
    chain = _load_chain(cert, "the certificate")
    private = load_key(key)
    if _public_bytes(chain[0]) != _public_bytes(private):
        raise SettingsError(f"the certificate {quoted(cert)} and the key {quoted(key)} do not fit")
    _warn_if_outdated(cert, chain[0])
    return ServerCertificate(chain, private)


def load_authorities(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file of authorities (`--ca`).

    :raises SettingsError: when it cannot be read or holds none.
    """
    return _load_chain(path, "the CA file")


def load_key(path: Path) -> PrivateKey:
    """Return the private key of a PEM file, the first if there are more.

    :raises SettingsError: when it cannot be read, or is encrypted or of a kind we cannot use.
    """
    content = read_bytes(path, "the key")
    match = _PEM_KEY.search(content)
    if match is None:
        raise SettingsError(f"the key {quoted(path)} holds no private key in PEM{_if_der(content)}")
    try:
        key = load_pem_private_key(match[0], password=None)
    except TypeError:
        raise SettingsError(
            f"the key {quoted(path)} is encrypted; a remote needs it without a password"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # `from None`: the original might carry parts of the key.
        raise SettingsError(f"the key {quoted(path)} is damaged or of an unknown kind") from None
    if not isinstance(key, PrivateKey):
        kind = type(key).__name__.strip("_").removesuffix("PrivateKey")
        raise SettingsError(
            f"the key {quoted(path)} is of the kind {kind}; take EC, RSA or Ed25519"
        )
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in CURVES:
        raise SettingsError(
            f"the key {quoted(path)} is on the curve {key.curve.name}; take P-256 or P-384"
        )
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise SettingsError(
            f"the key {quoted(path)} has {key.key_size} bits; RSA needs {MIN_RSA_BITS} or more"
        )
    return key


def parse_pin(text: str) -> bytes:
    """Return the 32 bytes of `sha256:HEX`; colons and OpenSSL's own prefix are understood.

    :raises SettingsError: for anything else.
    """
    compact = _PIN_PREFIX.sub("", text.strip(), count=1).replace(":", "").lower()
    if not _PIN.fullmatch(compact):
        raise SettingsError(
            f"{text[:100]!r} is not a pin; write sha256: and 64 hexadecimal digits, "
            "as 'quictunnel cert' and the remote's log show them"
        )
    return bytes.fromhex(compact)


def format_pin(fingerprint: bytes) -> str:
    """Return a fingerprint as `parse_pin` reads it: `sha256:HEX`."""
    return f"sha256:{fingerprint.hex()}"


def _load_chain(path: Path, what: str) -> tuple[x509.Certificate, ...]:
    content = read_bytes(path, what)
    try:
        with warnings.catch_warnings():
            # Public authorities of long ago break rules of today; that is nobody's fault here.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            chain: Sequence[x509.Certificate] = x509.load_pem_x509_certificates(content)
            for certificate in chain:
                certificate.public_key()  # parsed late by the library: a damaged one shows here
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise SettingsError(
            f"{what} {quoted(path)} holds no certificate in PEM that can be read{_if_der(content)}"
        ) from exc
    return tuple(chain)


def _if_der(content: bytes) -> str:
    return " (it looks like DER: 'openssl' converts it)" if content[:2] == _DER_START else ""


def _public_bytes(holder: x509.Certificate | PrivateKey) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _warn_if_outdated(path: Path, leaf: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if now > leaf.not_valid_after_utc:
        until = leaf.not_valid_after_utc.isoformat()
        fact(_log, logging.WARNING, "certificate has expired", file=path, since=until)
    elif now < leaf.not_valid_before_utc:
        begin = leaf.not_valid_before_utc.isoformat()
        fact(_log, logging.WARNING, "certificate is not valid yet", file=path, before=begin)


def _signature(*paths: Path) -> tuple[object, ...]:
    """What tells a file from its successor: a rewritten one differs in time, size or inode."""
    signature: list[object] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as exc:
            signature.append(why(exc))
        else:
            signature.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(signature)
