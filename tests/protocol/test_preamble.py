from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.errors import ProtocolError
from quictunnel.protocol import proxy_v2
from quictunnel.protocol.address import Address
from quictunnel.protocol.crc32c import crc32c
from quictunnel.protocol.preamble import Preamble, PreambleDecoder, encode_v2

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")

# The addresses of section 2.1's example, as section 2.2 writes them; and IPv6.
TCP4 = bytes.fromhex("c0a80001 c0a8000b dc04 01bb")
TCP6 = bytes.fromhex("20010db8000000000000000000000007 20010db8000000000000000000000001 dc04 01bb")
CLIENT = Address("192.168.0.1", 56324)
OUTSIDE = Address("192.168.0.11", 443)
CLIENT6 = Address("2001:db8::7", 56324)
OUTSIDE6 = Address("2001:db8::1", 443)


def header(version_command, family, block):
    return SIGNATURE + struct.pack("!BBH", version_command, family, len(block)) + block


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def with_checksum(version_command, family, block, size=4):
    """The header with a CRC32C at its end, made as section 2.2.3 says."""
    blank = header(version_command, family, block + tlv(0x03, bytes(size)))
    return blank[:-size] + crc32c(blank).to_bytes(size, "big")


def decode(data):
    found = PreambleDecoder().feed(data)
    assert found is not None
    return found[0]


GOOD = {
    "TCP over IPv4": (header(0x21, 0x11, TCP4), Preamble(CLIENT, OUTSIDE)),
    "TCP over IPv6": (header(0x21, 0x21, TCP6), Preamble(CLIENT6, OUTSIDE6)),
    "UDP over IPv4": (header(0x21, 0x12, TCP4), Preamble()),
    "UDP over IPv6": (header(0x21, 0x22, TCP6), Preamble()),
    "UNIX stream": (header(0x21, 0x31, b"/run/a".ljust(108, b"\0") * 2), Preamble()),
    "UNIX datagram": (header(0x21, 0x32, bytes(216)), Preamble()),
    "UNSPEC": (header(0x21, 0x00, b""), Preamble()),
    "UNSPEC with something": (header(0x21, 0x00, TCP4), Preamble()),
    "IPv4 over UNSPEC": (header(0x21, 0x10, b"?"), Preamble()),
    "IPv6 over UNSPEC": (header(0x21, 0x20, b"?"), Preamble()),
    "UNIX over UNSPEC": (header(0x21, 0x30, b"?"), Preamble()),
    "STREAM of UNSPEC": (header(0x21, 0x01, b"?"), Preamble()),
    "DGRAM of UNSPEC": (header(0x21, 0x02, b"?"), Preamble()),
    "DGRAM of UNSPEC with what looks like TLVs": (
        header(0x21, 0x02, tlv(0xE0, b"web")),
        Preamble(),
    ),
    "LOCAL": (header(0x20, 0x00, b""), Preamble()),
    "LOCAL with addresses": (header(0x20, 0x11, TCP4), Preamble()),
    "LOCAL with what looks like TLVs": (header(0x20, 0x11, tlv(0xE0, b"web")), Preamble()),
    "LOCAL with an unheard-of family": (header(0x20, 0xFF, b"??"), Preamble()),
    "a service and an id": (
        header(0x21, 0x11, TCP4 + tlv(0xE0, b"web") + tlv(0x05, b"00c0ffee00c0ffee")),
        Preamble(CLIENT, OUTSIDE, "web", "00c0ffee00c0ffee"),
    ),
    "a service, no address": (header(0x20, 0x00, tlv(0xE0, b"web")), Preamble(service="web")),
    "a service, UNIX": (
        header(0x21, 0x31, bytes(216) + tlv(0xE0, b"web")),
        Preamble(service="web"),
    ),
    "unknown TLVs": (
        header(0x21, 0x11, TCP4 + tlv(0x04, b"") + tlv(0xEA, b"\xff" * 99) + tlv(0x04, b"x")),
        Preamble(CLIENT, OUTSIDE),
    ),
    "an id of opaque bytes": (
        header(0x21, 0x11, TCP4 + tlv(0x05, bytes(range(128, 256)))),
        Preamble(CLIENT, OUTSIDE, client_id=bytes(range(128, 256)).decode("latin-1")),
    ),
    "a checksum": (with_checksum(0x21, 0x11, TCP4), Preamble(CLIENT, OUTSIDE)),
    "as long as allowed": (
        header(0x21, 0x11, TCP4 + tlv(0x04, bytes(2048 - 12 - 3))),
        Preamble(CLIENT, OUTSIDE),
    ),
    # Recorded from HAProxy 2.6.12, send-proxy-v2 with the options crc32c and unique-id.
    "HAProxy, IPv4": (
        bytes.fromhex(
            "0d0a0d0a000d0a515549540a211100287f0000017f000001939446b5030004ddf56cf3"
            "05001269642d3132372e302e302e313a3337373830"
        ),
        Preamble(
            Address("127.0.0.1", 37780),
            Address("127.0.0.1", 18101),
            client_id="id-127.0.0.1:37780",
        ),
    ),
    "HAProxy, IPv6": (
        bytes.fromhex(
            "0d0a0d0a000d0a515549540a2121003a0000000000000000000000000000000100000000"
            "000000000000000000000001a9ba46b5030004292454ac05000c69642d3a3a313a3433343530"
        ),
        Preamble(Address("::1", 43450), Address("::1", 18101), client_id="id-::1:43450"),
    ),
    "HAProxy, client of a UNIX socket": (
        bytes.fromhex("0d0a0d0a000d0a515549540a2000000a030004826374b8050000"),
        Preamble(client_id=""),
    ),
}

BAD = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "version 1": b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    "a byte of the signature": SIGNATURE[:11] + b"\r!\x11\0\0",
    "version 1 in binary": header(0x11, 0x11, TCP4),
    "version 3": header(0x31, 0x11, TCP4),
    "command 2": header(0x22, 0x11, TCP4),
    "command 15": header(0x2F, 0x11, TCP4),
    "family 4": header(0x21, 0x41, TCP4),
    "transport 3": header(0x21, 0x13, TCP4),
    "family 4, UNSPEC": header(0x21, 0x40, b""),
    "UNSPEC, transport 3": header(0x21, 0x03, b""),
    "IPv4 too short": header(0x21, 0x11, TCP4[:-1]),
    "IPv4 empty": header(0x21, 0x11, b""),
    "IPv6 too short": header(0x21, 0x21, TCP6[:-1]),
    "UNIX too short": header(0x21, 0x31, bytes(215)),
    "UDP too short": header(0x21, 0x12, TCP4[:-1]),
    "too long": header(0x21, 0x11, TCP4 + tlv(0x04, bytes(2048 - 12 - 2))),
    "a TLV of one byte": header(0x21, 0x11, TCP4 + b"\x04"),
    "a TLV of two bytes": header(0x21, 0x11, TCP4 + b"\x04\0"),
    "a TLV that is cut": header(0x21, 0x11, TCP4 + tlv(0x04, b"four")[:-1]),
    "two services": header(0x21, 0x11, TCP4 + tlv(0xE0, b"web") + tlv(0xE0, b"ssh")),
    "two ids": header(0x21, 0x11, TCP4 + tlv(0x05, b"1") * 2),
    "a service that is not UTF-8": header(0x21, 0x11, TCP4 + tlv(0xE0, b"\xc3\x28")),
    "an id too long": header(0x21, 0x11, TCP4 + tlv(0x05, bytes(129))),
    "a wrong checksum": header(0x21, 0x11, TCP4 + tlv(0x03, bytes(4))),
    "a short checksum": header(0x21, 0x11, TCP4 + tlv(0x03, b"")),
    "a long checksum": with_checksum(0x21, 0x11, TCP4, size=5),
    "two checksums": with_checksum(0x21, 0x11, TCP4 + tlv(0x03, bytes(4))),
    "LOCAL with a wrong checksum": header(0x20, 0x00, tlv(0x03, bytes(4))),
}


@pytest.mark.parametrize(("data", "preamble"), GOOD.values(), ids=GOOD)
def test_a_good_header_is_read(arrive, tail, data, preamble):
    assert arrive(PreambleDecoder(), data, tail) == (preamble, tail)


def test_only_families_and_transports_of_the_specification_are_accepted():
    for family in range(256):
        data = header(0x21, family, bytes(216))  # enough for two UNIX addresses, the longest
        if family >> 4 <= 3 and family & 0xF <= 2:
            zero = {0x11: Address("0.0.0.0", 0), 0x21: Address("::", 0)}.get(family)
            assert decode(data) == Preamble(zero, zero), hex(family)
        else:
            with pytest.raises(ProtocolError, match=f"family and transport {family:#04x}"):
                decode(data)


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_header_is_the_peers_fault(data):
    with pytest.raises(ProtocolError):
        PreambleDecoder().feed(data + b"tail")


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_header_is_found_byte_by_byte_too(data):
    decoder = PreambleDecoder()

    def feed_all():
        for byte in data:
            decoder.feed(bytes([byte]))

    with pytest.raises(ProtocolError):
        feed_all()


@pytest.mark.parametrize(
    "start",
    [b"G", b"P", SIGNATURE[:3] + b"G", header(0x21, 0x11, bytes(2049))[:16]],
    ids=["HTTP", "version 1", "after the third byte", "too long"],
)
def test_what_cannot_be_a_header_is_refused_without_waiting_for_its_end(start):
    with pytest.raises(ProtocolError):
        PreambleDecoder().feed(start)


def test_a_second_checksum_is_refused_before_any_is_calculated():
    twice = with_checksum(0x21, 0x11, TCP4 + tlv(0x03, bytes(4)))
    with pytest.raises(ProtocolError, match="2 checksums"):
        PreambleDecoder().feed(twice)


def test_every_byte_after_the_frame_is_guarded_by_a_checksum():
    good = with_checksum(0x21, 0x11, TCP4 + tlv(0xE0, b"web"))
    for at in range(16, 28 + 3 + 3):  # the addresses and the service
        bad = good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :]
        with pytest.raises(ProtocolError):
            PreambleDecoder().feed(bad)


def test_what_we_write_is_what_the_specification_shows():
    assert encode_v2(Preamble(CLIENT, OUTSIDE)) == header(0x21, 0x11, TCP4)
    assert encode_v2(Preamble(CLIENT6, OUTSIDE6)) == header(0x21, 0x21, TCP6)
    assert encode_v2(Preamble()) == header(0x20, 0x00, b"")
    assert encode_v2(Preamble(service="web")) == header(0x20, 0x00, tlv(0xE0, b"web"))
    assert encode_v2(Preamble(CLIENT, OUTSIDE, "web", "c0ffee")) == header(
        0x21, 0x11, TCP4 + tlv(0xE0, b"web") + tlv(0x05, b"c0ffee")
    )


def test_addresses_of_two_families_are_written_as_ipv6():
    data = encode_v2(Preamble(CLIENT, OUTSIDE6))
    mapped = bytes.fromhex("00000000000000000000ffffc0a80001")
    assert data == header(0x21, 0x21, mapped + TCP6[16:])
    assert decode(data) == Preamble(CLIENT, OUTSIDE6)


def test_one_address_without_the_other_is_no_preamble():
    with pytest.raises(ValueError, match="both"):
        Preamble(CLIENT, None)


@pytest.mark.parametrize(
    "preamble",
    [Preamble(service="x" * 2046), Preamble(client_id="x" * 129), Preamble(client_id="\u0100")],
    ids=["service too long", "id too long", "id beyond a byte"],
)
def test_what_does_not_fit_is_a_mistake_of_the_caller(preamble):
    with pytest.raises(ValueError, match=r".+"):
        encode_v2(preamble)


addresses = st.builds(Address, st.ip_addresses().map(str), st.integers(0, 65535))
names = st.none() | st.text(st.characters(codec="utf-8"), max_size=63)
ids = st.none() | st.text(st.characters(max_codepoint=255), max_size=128)
preambles = st.one_of(
    st.builds(Preamble, addresses, addresses, names, ids),
    st.builds(Preamble, st.none(), st.none(), names, ids),
)


@given(preambles, st.binary(max_size=64), st.data())
def test_decoding_undoes_encoding_wherever_the_bytes_are_cut(preamble, tail, data):
    encoded = encode_v2(preamble)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    decoder = PreambleDecoder()
    assert decoder.feed(encoded[:cut]) is None
    assert decoder.feed(encoded[cut:] + tail) == (preamble, tail)


blocks = st.one_of(
    st.binary(max_size=64),
    st.lists(st.builds(tlv, st.sampled_from([0x03, 0x05, 0xE0, 0x04]), st.binary(max_size=8))).map(
        b"".join
    ),
).flatmap(lambda block: st.sampled_from([block, TCP4 + block, TCP6 + block]))


@given(
    st.one_of(
        st.binary(),
        st.builds(SIGNATURE.__add__, st.binary()),
        st.builds(header, st.integers(0, 255), st.integers(0, 255), blocks),
        st.builds(
            header,
            st.sampled_from([0x20, 0x21]),
            st.sampled_from([0, 0x11, 0x21]),
            blocks.filter(lambda block: len(block) <= 2048),
        ),
    ),
    st.binary(max_size=8),
)
def test_no_bytes_raise_anything_but_the_one_error(data, tail):
    try:
        found = PreambleDecoder().feed(data + tail)
    except ProtocolError:
        return
    if found is None:
        assert len(data) < proxy_v2.MAX_HEADER
    else:
        assert (data + tail).endswith(found[1])
