"""Certificates of servers, each signed with its own key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(name: str, folder: Path) -> Path:
    """Create a certificate for a host name; return the file NAME.pem with it and its key."""
    key = make_key()
    file = folder / f"{name}.pem"
    file.write_bytes(key_pem(key) + certificate_pem(make_self_signed([name], key)))
    return file
