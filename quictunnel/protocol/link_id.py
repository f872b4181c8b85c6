"""The id of a link, which both ends derive, so that their logs can be joined."""

from __future__ import annotations

import hashlib

_LABEL = b"quictunnel link id"

_BYTES = 8
"""Bytes of the id. It only distinguishes links."""


def link_id(exporter: bytes) -> str:
    """Return the id of a link as 16 hexadecimal digits.

    It is not secret, and tells nothing about the exporter, from which proofs are made.

    :param exporter: the link's TLS exporter.
    """
    return hashlib.sha256(_LABEL + exporter).digest()[:_BYTES].hex()
