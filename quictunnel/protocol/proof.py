"""Proofs that one end of a link knows the token's secret, without saying it. No I/O.

    proof = HMAC-SHA256(secret, role || exporter)

The exporter (RFC 8446, 7.5) is another one for every TLS session. Somebody between the two ends who
passes everything on has two sessions, so a proof from one is of no use in the other; and the
role keeps an end from being shown its own proof.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

EXPORTER_SIZE = 32
"""In bytes."""

Role = Literal["origin", "remote"]


def prove(secret: str, role: Role, exporter: bytes) -> str:
    """Return the proof of one end, as 64 lower-case hex digits.

    :param secret: the token's secret.
    :param role: of the end that proves.
    :param exporter: of the link's TLS session.

    Raises ValueError for an empty secret or an exporter of another size: a proof over nothing would
    be good in every session.
    """
    if not secret or len(exporter) != EXPORTER_SIZE:
        raise ValueError("a proof needs a secret, and an exporter of 32 bytes")
    return hmac.new(secret.encode(), role.encode() + exporter, hashlib.sha256).hexdigest()


def check(secret: str, role: Role, exporter: bytes, proof: str) -> bool:
    """Return whether `proof` is that of the peer, whose role is `role`.

    Whatever the peer sent is a wrong proof at worst; how long the answer takes tells nothing about
    the right one. Raises ValueError as `prove` does.
    """
    expected = prove(secret, role, exporter)
    return hmac.compare_digest(expected.encode(), proof.encode(errors="replace"))
