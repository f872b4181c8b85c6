from __future__ import annotations

import pytest

from quictunnel.protocol.crc32c import crc32c


# RFC 3720, B.4, and the check value by which catalogues of checksums know this one.
@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_known_checksums(data, checksum):
    assert crc32c(data) == checksum
