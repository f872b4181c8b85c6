"""The sentences about certificates that are not accepted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from quictunnel.config.self_signed import make_key, make_self_signed
from quictunnel.quic.certificate_verification import verify

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("names", "name", "reason"),
    [
        (["vps", "127.0.0.1"], "vps.example", "it is for vps, 127.0.0.1, not for vps.example"),
        (["vps", "::1"], "192.0.2.1", "it is for vps, ::1, not for 192.0.2.1"),
        (["*.example.com"], "a.b.example.com", "it is for *.example.com, not for a.b.example.com"),
    ],
)
def test_a_certificate_for_somebody_else(names, name, reason):
    leaf = make_self_signed(names, make_key())
    assert verify(leaf, [], server_name=name, ca=None) == reason


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (timedelta(days=30), "it is not valid before {}, and this machine's clock says {}"),
        (timedelta(days=-7300), "it was valid until {}, and this machine's clock says {}"),
    ],
)
def test_a_certificate_of_another_time_tells_both_times(made, reason):
    leaf = make_self_signed(["localhost"], make_key(), now=NOW + made)
    said = verify(leaf, [], server_name="localhost", ca=None)
    pattern = re.escape(reason).replace(r"\{\}", r"\d{4}-\d\d-\d\d \d\d:\d\d")
    assert re.fullmatch(pattern, said or "")


def test_a_certificate_whose_name_is_none():
    der = make_self_signed(["web.org"], make_key()).public_bytes(Encoding.DER)
    leaf = x509.load_der_x509_certificate(der.replace(b"web.org", b"1.2.3.4"))
    said = verify(leaf, [], server_name="localhost", ca=None)
    assert said == "it has no name to compare with localhost"
