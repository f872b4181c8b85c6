"""Fuzz target: the first bytes of a data stream, which a remote sends to an origin."""

from __future__ import annotations

from fuzz.fuzzer import run
from fuzz.headers import HeaderReader
from fuzz.outcomes import outcome_of_any_split
from quictunnel.protocol.preamble import Preamble, PreambleDecoder, encode_v2
from quictunnel.protocol.proxy_v2 import MAX_HEADER


def check(data: bytes) -> None:
    """Check that a result does not depend on the split, and means the same when encoded again."""
    found = outcome_of_any_split(lambda: HeaderReader(PreambleDecoder()), data)
    if not isinstance(found, tuple) or not isinstance(found[0], Preamble):
        return
    preamble, length = found
    assert length <= MAX_HEADER, "the header is longer than allowed"
    encoded = encode_v2(preamble)
    assert len(encoded) <= MAX_HEADER
    assert PreambleDecoder().feed(encoded) == (preamble, b""), "it means something else now"


if __name__ == "__main__":
    run("fuzz.preamble")
