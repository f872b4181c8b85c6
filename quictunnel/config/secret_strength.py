"""Estimates how hard a token's secret is to guess, to warn of secrets that a person has made up.

A secret of `quictunnel token new` has 192 random bits. The estimate is an upper bound: it sees the
length, the kinds of characters, repetitions and sequences, but knows no words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from quictunnel.config.tokens import Token
from quictunnel.events import SecretWeak

MIN_BITS = 80
"""A secret below this can be guessed by someone with many computers."""

_WHOLE_ALPHABETS = (
    (re.compile(r"[0-9]+", re.ASCII), 10),
    (re.compile(r"[0-9a-f]+|[0-9A-F]+", re.ASCII), 16),
)
"""Alphabets that count if a secret has nothing else, and their sizes."""

_KINDS = ((re.compile(r"[a-z]"), 26), (re.compile(r"[A-Z]"), 26), (re.compile(r"[0-9]"), 10))
"""Kinds of characters, whose sizes add up."""

_OTHER_CHARACTERS = 2
"""The characters `-` and `_`."""

_LEAST = 4
"""Characters of a repetition or a sequence, at least. Random secrets seldom have one."""


def weak_secrets(tokens: Iterable[Token]) -> list[SecretWeak]:
    """Return an event for each token whose secret is estimated to have less than `MIN_BITS`."""
    estimates = [(token.id, estimate_bits(token.secret)) for token in tokens]
    return [SecretWeak(name, bits) for name, bits in estimates if bits < MIN_BITS]


def estimate_bits(secret: str) -> int:
    """Return the bits of a secret: the binary logarithm of how many secrets are like it."""
    return int(_effective_length(secret) * math.log2(_alphabet(secret)))


def _alphabet(secret: str) -> int:
    """Return the size of the alphabet that a secret seems to be from."""
    for pattern, size in _WHOLE_ALPHABETS:
        if pattern.fullmatch(secret):
            return size
    sizes = [size for pattern, size in _KINDS if pattern.search(secret)]
    return sum(sizes) + _OTHER_CHARACTERS * ("-" in secret or "_" in secret)


def _effective_length(secret: str) -> int:
    """Return the length, where a repetition counts 1 and a sequence 2, whatever their lengths."""
    length = position = 0
    while position < len(secret):
        repeated, sequence = _repeated(secret, position), _sequence(secret, position)
        if max(repeated, sequence) < _LEAST:
            length, position = length + 1, position + 1
        elif repeated >= sequence:
            length, position = length + 1, position + repeated
        else:
            length, position = length + 2, position + sequence
    return length


def _repeated(secret: str, start: int) -> int:
    """Return how many characters from `start` on are somewhere before, too. The two may overlap."""
    end = start + 1
    while end <= len(secret) and secret.find(secret[start:end], 0, end - 1) >= 0:
        end += 1
    return end - 1 - start


def _sequence(secret: str, start: int) -> int:
    """Return how many characters from `start` on are equal, or count up or down: `3456`."""
    codes = [ord(character) for character in secret[start:]]
    if len(codes) < _LEAST or abs(step := codes[1] - codes[0]) > 1:
        return 0
    end = 2
    while end < len(codes) and codes[end] - codes[end - 1] == step:
        end += 1
    return end
