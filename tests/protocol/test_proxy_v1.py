from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble
from quictunnel.protocol.proxy_decoder import ProxyDecoder
from quictunnel.protocol.proxy_v1 import encode_v1

ALL_ONES = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

GOOD = {
    # Section 2.1: the example, and the longest line of each kind.
    "the example": (
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        Preamble(Address("192.168.0.1", 56324), Address("192.168.0.11", 443)),
    ),
    "longest IPv4": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Preamble(Address("255.255.255.255", 65535), Address("255.255.255.255", 65535)),
    ),
    "longest IPv6": (
        f"PROXY TCP6 {ALL_ONES} {ALL_ONES} 65535 65535\r\n".encode(),
        Preamble(Address(ALL_ONES, 65535), Address(ALL_ONES, 65535)),
    ),
    "short UNKNOWN": (b"PROXY UNKNOWN\r\n", Preamble()),
    "longest UNKNOWN": (
        f"PROXY UNKNOWN {ALL_ONES} {ALL_ONES} 65535 65535\r\n".encode(),
        Preamble(),
    ),
    "UNKNOWN with anything": (b"PROXY UNKNOWN \xff\0 \r?\r\n", Preamble()),
    "capitals": (
        b"PROXY TCP6 2001:DB8::7 ::1 0 1\r\n",
        Preamble(Address("2001:db8::7", 0), Address("::1", 1)),
    ),
    "IPv4 within IPv6": (
        b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n",
        Preamble(Address("192.0.2.7", 1), Address("2001:db8::1", 2)),
    ),
    # Recorded from HAProxy 2.6.12, send-proxy.
    "HAProxy, IPv4": (
        b"PROXY TCP4 127.0.0.1 127.0.0.1 55648 18102\r\n",
        Preamble(Address("127.0.0.1", 55648), Address("127.0.0.1", 18102)),
    ),
    "HAProxy, IPv6": (
        b"PROXY TCP6 ::1 ::1 41756 18102\r\n",
        Preamble(Address("::1", 41756), Address("::1", 18102)),
    ),
}

BAD = {
    "another protocol": b"GET / HTTP/1.1\r\n",
    "no family": b"PROXY \r\n",
    "another family": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "small letters": b"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
    "UNKNOWN and more": b"PROXY UNKNOWNS\r\n",
    "two spaces": b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
    "a space at the end": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "a port missing": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "a port too many": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
    "a port too great": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "a port below zero": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 -1\r\n",
    "a port with a zero": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 02\r\n",
    "a port with a sign": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n",
    "a port with an underscore": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2_2\r\n",
    "a port of foreign digits": "PROXY TCP4 192.0.2.1 192.0.2.2 1 \u0662\r\n".encode(),
    "an octal address": b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
    "a name": b"PROXY TCP4 localhost 192.0.2.2 1 2\r\n",
    "IPv6 in TCP4": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "IPv4 in TCP6": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "a scope": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "LF alone": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "LF alone, UNKNOWN": b"PROXY UNKNOWN\n\r\n",
    "LF among what is to be ignored": b"PROXY UNKNOWN \n\r\n",
    "CR alone": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rGET / HTTP/1.1\r\n",
    "no end in 107 bytes": b"PROXY UNKNOWN ".ljust(107, b"x"),
    "an end after 108 bytes": b"PROXY UNKNOWN ".ljust(106, b"x") + b"\r\n",
}


@pytest.mark.parametrize(("line", "preamble"), GOOD.values(), ids=GOOD)
def test_a_good_line_is_read(arrive, tail, line, preamble):
    assert arrive(ProxyDecoder(), line, tail) == (preamble, tail)


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_is_the_peers_fault(line):
    with pytest.raises(ProtocolError):
        ProxyDecoder().feed(line + b"tail")


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_is_found_byte_by_byte_too(line):
    decoder = ProxyDecoder()

    def feed_all():
        for byte in line:
            decoder.feed(bytes([byte]))

    with pytest.raises(ProtocolError):
        feed_all()


@pytest.mark.parametrize("start", [b"G", b"PR0", b"PROXY\t"])
def test_what_cannot_be_a_line_is_refused_without_waiting_for_its_end(start):
    with pytest.raises(ProtocolError):
        ProxyDecoder().feed(start)


def test_addresses_of_two_families_are_written_as_ipv6():
    preamble = Preamble(Address("192.0.2.7", 1), Address("2001:db8::1", 2))
    assert encode_v1(preamble) == b"PROXY TCP6 ::ffff:c000:0207 2001:db8::1 1 2\r\n"


def test_a_client_without_an_address_is_unknown():
    assert encode_v1(Preamble(service="web", client_id="c0ffee")) == b"PROXY UNKNOWN\r\n"


addresses = st.builds(Address, st.ip_addresses().map(str), st.integers(0, 65535))


@given(st.builds(Preamble, addresses, addresses), st.binary(max_size=64), st.data())
def test_decoding_undoes_encoding_wherever_the_bytes_are_cut(preamble, tail, data):
    line = encode_v1(preamble)
    cut = data.draw(st.integers(0, len(line) - 1))
    decoder = ProxyDecoder()
    assert decoder.feed(line[:cut]) is None
    assert decoder.feed(line[cut:] + tail) == (preamble, tail)


fields = st.sampled_from(["TCP4", "TCP6", "UNKNOWN", "::1", "192.0.2.1", "1", "", "\r", "٢", "%"])


@given(
    st.one_of(
        st.binary(),
        st.builds(b"PROXY ".__add__, st.binary()),
        st.lists(fields, max_size=7).map(lambda words: f"PROXY {' '.join(words)}\r\n".encode()),
    )
)
def test_no_bytes_raise_anything_but_the_one_error(data):
    try:
        found = ProxyDecoder().feed(data)
    except ProtocolError:
        return
    assert len(data) < 107 if found is None else data.endswith(found[1])
