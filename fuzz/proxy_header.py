"""Fuzz target: the PROXY header, version 1 or 2, of a proxy in front of the remote."""

from __future__ import annotations

from fuzz.fuzzer import run
from fuzz.headers import HeaderReader
from fuzz.outcomes import outcome_of_any_split
from quictunnel.protocol import proxy_v1, proxy_v2
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proxy_decoder import ProxyDecoder


def check(data: bytes) -> None:
    """Check that a result does not depend on the split, and that both versions can express it."""
    found = outcome_of_any_split(lambda: HeaderReader(ProxyDecoder()), data)
    if not isinstance(found, tuple) or not isinstance(found[0], Preamble):
        return
    preamble, length = found
    is_v1 = data.startswith(proxy_v1.START)
    assert length <= (proxy_v1 if is_v1 else proxy_v2).MAX_HEADER, "the header is too long"
    assert preamble.service is None, "a proxy has chosen the service"
    assert _decoded(encode_v2(preamble)) == preamble, "version 2 expresses something else"
    line = _decoded(proxy_v1.encode_v1(preamble))
    assert (line.client, line.outside) == (preamble.client, preamble.outside)


def _decoded(header: bytes) -> Preamble:
    found = ProxyDecoder().feed(header)
    assert found is not None, "our own header is incomplete"
    preamble, rest = found
    assert not rest
    return preamble


if __name__ == "__main__":
    run("fuzz.proxy_header")
