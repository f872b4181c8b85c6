"""Loads certificates and keys from files, checks that they match, and reloads changed files.

The TLS handshake verifies a peer's certificate.
"""

from __future__ import annotations

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

from quictunnel.config.files import quoted, read_bytes, warn_if_exposed, why
from quictunnel.errors import SettingsError
from quictunnel.events import (
    CertificateOutOfDate,
    CertificateRejected,
    CertificateRenewed,
    EventSink,
    discard_event,
)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""Kinds of key that can sign a TLS 1.3 handshake."""

FINGERPRINT_BYTES = 32
"""Bytes of a SHA-256 fingerprint."""

MIN_RSA_BITS = 2048
"""Shortest RSA key that browsers and OpenSSL's defaults accept."""

CURVES = ("secp256r1", "secp384r1")
"""Curves that every TLS 1.3 peer supports and public authorities sign (RFC 8446, 9.1)."""

_PEM_KEY = re.compile(
    rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.+?-----END \1PRIVATE KEY-----", re.DOTALL
)
_PIN_PREFIX = re.compile(r"^sha-?256(?: fingerprint)?[:=]", re.IGNORECASE)
_PIN = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DER_START = b"\x30\x82"
"""First bytes of a certificate in DER: an ASN.1 SEQUENCE of more than 255 bytes."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate chain and its key."""

    chain: tuple[x509.Certificate, ...]
    """The leaf, then the intermediate certificates."""

    key: PrivateKey = field(repr=False)
    """The leaf's private key."""

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate of the key."""
        return self.chain[0]

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the leaf in DER, the value of `--pin`."""
        return self.leaf.fingerprint(hashes.SHA256())

    @property
    def expires(self) -> str:
        """When the leaf expires, in UTC (ISO 8601)."""
        return self.leaf.not_valid_after_utc.isoformat()


class CertificateFiles:
    """A certificate file and a key file, and the last valid pair that they contained.

    :param emit: receives warnings about the files, and renewals.
    :raises SettingsError: the files are missing or invalid now.
    """

    def __init__(self, cert: Path, key: Path, emit: EventSink = discard_event) -> None:
        self.cert = cert
        self.key = key
        self._emit = emit
        self._seen = _signature(cert, key)
        self._current = load_pair(cert, key)
        self._warn()

    @property
    def current(self) -> ServerCertificate:
        """The pair for new handshakes."""
        return self._current

    def reload_if_changed(self, use: Callable[[ServerCertificate], None] = lambda _: None) -> bool:
        """Reload the files if they have changed, and return whether there is a new pair.

        Costs two stat calls if nothing has changed. An invalid pair, such as a half-renewed one,
        is reported once, and the old pair stays in use until the files change again.

        :param use: puts the new pair into use; raises SettingsError if it cannot.
        """
        # Before reading, so that the next call notices a change during the read.
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
            self._emit(CertificateRejected(file=str(self.cert), reason=str(exc)))
            return False
        self._current = renewed
        self._warn()
        pin = format_pin(renewed.fingerprint)
        expires = renewed.expires
        self._emit(CertificateRenewed(file=str(self.cert), pin=pin, expires=expires))
        return True

    def _warn(self) -> None:
        warn_if_exposed(self.key, self._emit)
        if reason := _why_out_of_date(self._current.leaf):
            self._emit(CertificateOutOfDate(file=str(self.cert), reason=reason))


def load_pair(cert: Path, key: Path) -> ServerCertificate:
    """Return the certificate chain and the private key of two PEM files, or of one.

    The leaf may have expired.

    :raises SettingsError: a file cannot be read or used, or the two do not match.
    """
    chain = _load_chain(cert, "the certificate")
    private = load_key(key)
    if _public_bytes(chain[0]) != _public_bytes(private):
        raise SettingsError(
            f"the certificate {quoted(cert)} and the key {quoted(key)} do not match"
        )
    return ServerCertificate(chain, private)


def load_authorities(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file of authorities (`--ca`).

    :raises SettingsError: it cannot be read or contains no certificate.
    """
    return _load_chain(path, "the CA file")


def load_key(path: Path) -> PrivateKey:
    """Return the first private key of a PEM file.

    :raises SettingsError: it cannot be read, or is encrypted or of an unsupported kind.
    """
    content = read_bytes(path, "the key")

    def error(problem: str) -> SettingsError:
        return SettingsError(f"the key {quoted(path)} {problem}")

    match = _PEM_KEY.search(content)
    if match is None:
        raise error(f"contains no private key in PEM{_if_der(content)}")
    try:
        key = load_pem_private_key(match[0], password=None)
    except TypeError:
        raise error("is encrypted; remove its password (openssl pkey)") from None
    except (ValueError, UnsupportedAlgorithm):
        # `from None`: the original exception may quote the key.
        raise error("is damaged or of an unknown kind") from None
    if not isinstance(key, PrivateKey):
        kind = type(key).__name__.strip("_").removesuffix("PrivateKey")
        raise error(f"is of the unsupported kind {kind}; use EC, RSA or Ed25519")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in CURVES:
        raise error(f"is on the curve {key.curve.name}; use P-256 or P-384")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise error(f"has {key.key_size} bits; use RSA with {MIN_RSA_BITS} or more")
    return key


def parse_pin(text: str) -> bytes:
    """Return the 32 bytes of `sha256:HEX`, also with colons and with the prefix of OpenSSL.

    :raises SettingsError: it is anything else.
    """
    compact = _PIN_PREFIX.sub("", text.strip(), count=1).replace(":", "").lower()
    if not _PIN.fullmatch(compact):
        raise SettingsError(
            f"{text[:100]!r} is not a pin; write sha256: and 64 hexadecimal digits, "
            "as the remote's log and 'quictunnel cert' show them"
        )
    return bytes.fromhex(compact)


def format_pin(fingerprint: bytes) -> str:
    """Return a fingerprint in the form that `parse_pin` reads: `sha256:HEX`."""
    return f"sha256:{fingerprint.hex()}"


def _load_chain(path: Path, what: str) -> tuple[x509.Certificate, ...]:
    content = read_bytes(path, what)
    try:
        with warnings.catch_warnings():
            # Certificates of old authorities break today's rules. The user cannot change that.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            chain: Sequence[x509.Certificate] = x509.load_pem_x509_certificates(content)
            for certificate in chain:
                certificate.public_key()  # parses the key, which may be damaged
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise SettingsError(
            f"{what} {quoted(path)} contains no valid certificate in PEM{_if_der(content)}"
        ) from exc
    return tuple(chain)


def _if_der(content: bytes) -> str:
    return " (it looks like DER; openssl converts it)" if content[:2] == _DER_START else ""


def _public_bytes(holder: x509.Certificate | PrivateKey) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _why_out_of_date(leaf: x509.Certificate) -> str | None:
    now = datetime.now(UTC)
    if now > leaf.not_valid_after_utc:
        return f"expired at {leaf.not_valid_after_utc.isoformat()}"
    if now < leaf.not_valid_before_utc:
        return f"not valid before {leaf.not_valid_before_utc.isoformat()}"
    return None


def _signature(*paths: Path) -> tuple[object, ...]:
    """Return values that change when a file is rewritten: its time, size and inode."""
    signature: list[object] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as exc:
            signature.append(why(exc))
        else:
            signature.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(signature)
