"""The checksum CRC-32C (Castagnoli), in pure Python: fast enough for headers only."""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78
"""0x1EDC6F41 with its bits reversed: each byte is processed lowest bit first (RFC 3720, 12.1)."""


def _shift_out(byte: int) -> int:
    """Return the table entry of a byte."""
    register = byte
    for _ in range(8):
        register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    return register


_TABLE = tuple(_shift_out(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data` (RFC 4960, appendix B)."""
    register = 0xFFFFFFFF
    for byte in data:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF
