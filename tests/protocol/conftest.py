"""Ways in which the same bytes can arrive. A decoder must not be able to tell them apart."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no failure: neither a slow example nor slowly found ones.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def _whole(decoder, header, tail):
    return decoder.feed(header + tail)


def _byte_by_byte(decoder, header, tail):
    for byte in header[:-1]:
        assert decoder.feed(bytes([byte])) is None
    return decoder.feed(header[-1:] + tail)


def _in_halves(decoder, header, tail):
    half = len(header) // 2
    assert decoder.feed(header[:half]) is None
    assert decoder.feed(b"") is None
    return decoder.feed(header[half:] + tail)


@pytest.fixture(params=[_whole, _byte_by_byte, _in_halves], ids=["whole", "bytes", "halves"])
def arrive(request):
    """A function that feeds a header, and a tail with its last byte, and returns the outcome."""
    return request.param


@pytest.fixture(
    params=[b"", b"x", b"\r\n\r\nPROXY \0\xff" * 1000], ids=["alone", "tail", "long tail"]
)
def tail(request):
    """The bytes after a header."""
    return request.param
