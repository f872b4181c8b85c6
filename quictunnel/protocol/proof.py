"""Proofs that an end of a link knows the token's secret. The secret is never sent.

    proof = HMAC-SHA256(secret, role || exporter)

The exporter (RFC 8446, section 7.5) differs in every TLS session. A man in the middle has two
sessions, so a proof from one is invalid in the other. The role prevents that an end is shown its
own proof.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

EXPORTER_SIZE = 32
"""Size of the exporter in bytes."""

Role = Literal["origin", "remote"]


def prove(secret: str, role: Role, exporter: bytes) -> str:
    """Return the proof of one end as 64 lower-case hex digits.

    :param secret: the token's secret.
    :param role: the role of the end that proves itself.
    :param exporter: the exporter of the link's TLS session.
    :raises ValueError: the secret is empty, or the exporter has the wrong size. Such a proof would
        be valid in every session.
    """
    if not secret or len(exporter) != EXPORTER_SIZE:
        raise ValueError("a proof needs a secret and an exporter of 32 bytes")
    return hmac.new(secret.encode(), role.encode() + exporter, hashlib.sha256).hexdigest()


def check(secret: str, role: Role, exporter: bytes, proof: str) -> bool:
    """Return whether `proof` is the proof of a peer with this role, in constant time.

    :raises ValueError: as `prove`.
    """
    expected = prove(secret, role, exporter)
    return hmac.compare_digest(expected.encode(), proof.encode(errors="replace"))
