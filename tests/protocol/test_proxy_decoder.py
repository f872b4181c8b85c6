from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.errors import ProtocolError
from quictunnel.protocol import proxy_v2
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proxy_decoder import ProxyDecoder
from quictunnel.protocol.proxy_v1 import encode_v1

CLIENT = Address("192.0.2.7", 51334)
OUTSIDE = Address("198.51.100.1", 9000)
KNOWN = Preamble(CLIENT, OUTSIDE)


@pytest.mark.parametrize("encode", [encode_v1, encode_v2])
@pytest.mark.parametrize("preamble", [KNOWN, Preamble()], ids=["known", "unknown"])
def test_either_version_is_read(arrive, tail, encode, preamble):
    assert arrive(ProxyDecoder(), encode(preamble), tail) == (preamble, tail)


def test_the_senders_id_of_the_connection_is_kept(arrive):
    preamble = Preamble(CLIENT, OUTSIDE, client_id="c0ffee")
    assert arrive(ProxyDecoder(), encode_v2(preamble), b"") == (preamble, b"")


@pytest.mark.parametrize(
    "vectors",
    [[(0xE0, b"web")], [(0xE0, b"\xff\xfe\0\1")], [(0xE0, b"web"), (0xE0, b"ssh")]],
    ids=["a name", "a number", "two"],
)
def test_the_type_of_our_services_is_somebody_elses_here(arrive, vectors):
    header = proxy_v2.encode(CLIENT, OUTSIDE, vectors)
    assert arrive(ProxyDecoder(), header, b"") == (KNOWN, b"")


@pytest.mark.parametrize("start", [b"G", b"\x16\x03\x01", b"\r\n\r\n\r", b"POST", b"\0"])
def test_what_is_no_header_is_refused_at_once(start):
    with pytest.raises(ProtocolError):
        ProxyDecoder().feed(start)


def test_a_line_is_bounded_as_a_line():
    with pytest.raises(ProtocolError):
        ProxyDecoder().feed(b"PROXY UNKNOWN ".ljust(1000, b"x") + b"\r\n")


@given(
    st.one_of(
        st.binary(),
        st.builds(b"PROXY ".__add__, st.binary()),
        st.builds(proxy_v2.SIGNATURE.__add__, st.binary()),
    )
)
def test_no_bytes_raise_anything_but_the_one_error(data):
    try:
        found = ProxyDecoder().feed(data)
    except ProtocolError:
        return
    assert found is None or data.endswith(found[1])
