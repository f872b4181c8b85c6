"""The estimate of how hard a secret is to guess."""

from __future__ import annotations

import secrets

import pytest

from quictunnel.config.secret_strength import MIN_BITS, estimate_bits, weak_secrets
from quictunnel.config.tokens import Token
from quictunnel.events import SecretWeak


@pytest.mark.parametrize(
    ("secret", "bits"),
    [
        ("a" * 512, 8),
        ("abab" * 8, 12),
        ("0123456789" * 3, 9),
        ("abcdefghijklmnopqrstuvwxyz", 9),
        ("zyxwvutsrqponmlkjihgfedcba", 9),
        ("passwordpasswordpassword", 42),
        ("S3cr3tS3cr3tS3cr3tS3cr3t", 41),
        ("4711" * 6, 16),
        ("2718281828459045235360", 63),
        ("aaaa-bbbb-cccc-dddd-eeee", 67),
    ],
)
def test_a_short_or_regular_secret_is_weak(secret, bits):
    assert estimate_bits(secret) == bits
    assert weak_secrets([Token("box", secret)]) == [SecretWeak("box", bits)]


@pytest.mark.parametrize(
    ("secret", "bits"),
    [
        ("3141592653589793238462643383279502884197", 132),
        ("9f86d081884c7d659a2feaa0c55ad0", 120),
        ("9F86D081884C7D659A2FEAA0C55AD0", 120),
        ("qkvxjzhwmfpldtgbrnycus", 103),
        ("E6ns_HTLkMn-BnFKAH8lk4DqItC52CbS", 192),
    ],
)
def test_a_random_secret_is_strong(secret, bits):
    assert estimate_bits(secret) == bits
    assert not weak_secrets([Token("box", secret)])


def test_secrets_of_usual_generators_are_strong():
    for _ in range(500):
        for secret in (Token.new().secret, secrets.token_hex(16), secrets.token_urlsafe(17)):
            assert estimate_bits(secret) >= MIN_BITS
