from __future__ import annotations

import ssl
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.client_hello import check, names_for_openssl
from fuzz.outcomes import outcome
from quictunnel.protocol.client_hello import (
    MAX_CLIENT_HELLO,
    ClientHelloError,
    ClientHelloReader,
    ServerName,
    unrecognized_name_alert,
)
from testkit.client_hellos import (
    ENCRYPTED_CLIENT_HELLO,
    GREASE,
    SERVER_NAME,
    browser_hello,
    client_hello,
    extension,
    record,
    records,
    server_name,
    vector,
)

NAME = b"www.example.com"
FOUND = ServerName("www.example.com")

CAPTURED = Path(__file__).parents[2] / "fuzz" / "corpus" / "client_hello"
CHROMIUM = (CAPTURED / "chromium").read_bytes()
GO = (CAPTURED / "go").read_bytes()

UNEXPECTED_MESSAGE, RECORD_OVERFLOW, ILLEGAL_PARAMETER, DECODE_ERROR = 10, 22, 47, 50


def read(data, *more):
    return outcome(ClientHelloReader(), [data, *more])


def named(*names, kind=0):
    return records(client_hello([server_name(*names, kind=kind)]))


def padded(size):
    """A ClientHello in one record, which has this many bytes with its header."""
    empty = len(records(client_hello([server_name(NAME), extension(21)])))
    return records(client_hello([server_name(NAME), extension(21, bytes(size - empty))]))


def assert_refused(data, description, reason=None):
    with pytest.raises(ClientHelloError, match=reason) as refusal:
        ClientHelloReader().feed(data)
    assert refusal.value.answer == bytes([21, 3, 3, 0, 2, 2, description])
    check(data)  # in any split


# Programs


@pytest.mark.parametrize("program", ["chromium", "curl", "go", "openssl", "openssl-tls-1.2"])
def test_the_name_that_a_program_sends_is_found(program):
    hello = (CAPTURED / program).read_bytes()
    assert read(hello) == FOUND
    assert names_for_openssl(hello) == ["www.example.com"]


def test_a_program_may_send_no_name():
    assert read((CAPTURED / "openssl-without-name").read_bytes()) == ServerName(None)


def test_chromium_sends_what_makes_a_hello_long_and_strange():
    assert ENCRYPTED_CLIENT_HELLO.to_bytes(2, "big") in CHROMIUM
    assert b"\x11\xec\x04\xc0" in CHROMIUM  # a key share of X25519MLKEM768 and its length
    assert len(CHROMIUM) > 1500  # more than one segment


@pytest.mark.parametrize("hello", [CHROMIUM, GO, named(NAME)], ids=["chromium", "go", "small"])
def test_two_segments_may_be_cut_anywhere(hello):
    for cut in range(1, len(hello)):
        reader = ClientHelloReader()
        assert reader.feed(hello[:cut]) is None
        assert reader.feed(hello[cut:]) == FOUND


def test_bytes_may_come_one_by_one():
    assert read(*[bytes([byte]) for byte in CHROMIUM]) == FOUND


def test_an_empty_piece_changes_nothing():
    assert read(b"", CHROMIUM[:100], b"", CHROMIUM[100:]) == FOUND


# Records


@pytest.mark.parametrize("size", [1, 3, 4, 5, 512, 1400])
def test_a_hello_may_span_records(size):
    hello = records(browser_hello(NAME), size)
    assert read(hello) == FOUND
    check(hello)


def test_an_old_version_in_the_record_means_nothing():
    assert read(record(client_hello([server_name(NAME)]), version=b"\x03\0")) == FOUND
    assert read(record(client_hello([server_name(NAME)]), version=b"\x03\x09")) == FOUND


@pytest.mark.parametrize("after", [record(b"\x01", kind=20), record(b"early data", kind=23), b"?"])
def test_bytes_after_the_hello_are_ignored(after):
    assert read(named(NAME) + after) == FOUND


def test_nothing_else_may_be_in_the_hellos_record():
    assert_refused(record(client_hello() + b"\x01"), UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("kind", [20, 21, 23, 24, 0, 255])
def test_no_other_record_may_be_inside_a_hello(kind):
    hello = client_hello([server_name(NAME)])
    assert_refused(record(hello[:20]) + record(hello[20:], kind=kind), UNEXPECTED_MESSAGE)


def test_no_record_is_empty():
    assert_refused(record(b""), UNEXPECTED_MESSAGE)
    assert_refused(record(client_hello()[:9]) + record(b""), UNEXPECTED_MESSAGE)


def test_no_record_is_longer_than_tls_allows():
    assert_refused(b"\x16\x03\x01\x40\x01", RECORD_OVERFLOW)


@pytest.mark.parametrize("kind", [0, 2, 4, 11, 20, 255])
def test_no_other_message_comes_first(kind):
    assert_refused(record(bytes([kind]) + client_hello()[1:]), UNEXPECTED_MESSAGE)
    assert_refused(b"\x16\x03\x01\x40\0" + bytes([kind]), UNEXPECTED_MESSAGE)


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x80\x2e\x01\x03\x01",  # a hello of SSL 2
        b"\x16\xfe\xff",  # DTLS
        b"\x15\x03\x01\0\x02\x02\x28",  # an alert
        b"\0",
    ],
)
def test_a_client_that_does_not_speak_tls_gets_no_alert(start):
    with pytest.raises(ClientHelloError, match="does not speak TLS") as refusal:
        ClientHelloReader().feed(start)
    assert refusal.value.answer == b""
    check(start)


# Length


def test_a_hello_of_the_greatest_length_is_read():
    hello = padded(MAX_CLIENT_HELLO)
    assert len(hello) == MAX_CLIENT_HELLO
    assert read(hello) == FOUND
    assert read(hello, b"more") == FOUND


def test_a_longer_hello_is_refused_as_soon_as_it_states_its_length():
    hello = padded(MAX_CLIENT_HELLO + 1)
    assert_refused(hello, ILLEGAL_PARAMETER, "more than 16384 bytes")
    assert read(hello[:8]) is None
    assert_refused(hello[:9], ILLEGAL_PARAMETER, "more than 16384 bytes")


def test_the_headers_of_records_count():
    hello = records(padded(4096)[5:], 1)
    assert len(hello) > MAX_CLIENT_HELLO
    assert read(hello[: MAX_CLIENT_HELLO - 1]) is None
    assert_refused(hello[:MAX_CLIENT_HELLO], ILLEGAL_PARAMETER, "more than 16384 bytes")


def test_no_more_than_the_limit_is_kept():
    data = records(padded(8192)[5:], 1) + bytes(1 << 20)
    tracemalloc.start()
    try:
        reader = ClientHelloReader()
        with pytest.raises(ClientHelloError):
            reader.feed(data)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_CLIENT_HELLO
    finally:
        tracemalloc.stop()


# Extensions


def test_grease_and_unknown_extensions_are_ignored():
    hello = records(client_hello([extension(GREASE), extension(0xFFCE, b"?"), server_name(NAME)]))
    assert read(hello) == FOUND


def test_the_name_may_come_first_or_last():
    others = [extension(GREASE, b"\0"), extension(ENCRYPTED_CLIENT_HELLO, bytes(200))]
    assert read(records(client_hello([server_name(NAME), *others]))) == FOUND
    assert read(records(client_hello([*others, server_name(NAME)]))) == FOUND


def test_with_ech_the_outer_name_counts():
    inner = extension(ENCRYPTED_CLIENT_HELLO, b"\0" + server_name(b"secret.example"))
    assert read(records(client_hello([inner, server_name(NAME)]))) == FOUND


@pytest.mark.parametrize("extensions", [None, [], [extension(GREASE)]])
def test_a_hello_needs_no_name(extensions):
    hello = records(client_hello(extensions))
    assert read(hello) == ServerName(None)
    check(hello)


def test_two_server_name_extensions_are_refused():
    hello = records(client_hello([server_name(NAME), extension(GREASE), server_name(NAME)]))
    assert_refused(hello, ILLEGAL_PARAMETER, "two server_name extensions")


# Names


@pytest.mark.parametrize("names", [(NAME, b"other.example"), (NAME, NAME)])
def test_several_host_names_are_refused(names):
    assert_refused(named(*names), ILLEGAL_PARAMETER, "two host names")


def test_names_of_another_kind_are_ignored():
    kinds = vector(b"\x05" + vector(b"?", 2) + b"\0" + vector(NAME, 2) + b"\x06\0\0", 2)
    assert read(records(client_hello([extension(SERVER_NAME, kinds)]))) == FOUND
    assert read(named(NAME, kind=7)) == ServerName(None)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"WWW.Example.COM", "www.example.com"),
        (b"www.example.com.", "www.example.com"),
        (b"localhost", "localhost"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        (b"my_host.example.com", "my_host.example.com"),
        (b".".join([b"a" * 63] * 3 + [b"b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61])),
    ],
)
def test_a_name_is_returned_in_one_spelling(name, found):
    assert read(named(name)) == ServerName(found)
    check(named(name))


@pytest.mark.parametrize(
    "address", [b"192.0.2.7", b"127.1", b"0x7f000001", b"192.0.2.7.", b"2001:db8::7", b"::1", b"0"]
)
def test_an_ip_address_is_no_name(address):
    assert read(named(address)) == ServerName(None)
    check(named(address))


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"a..example",
        b".example",
        b"a.example..",
        b"*.example.com",
        b"-a.example",
        b"a b.example",
        b"a.example:443",
        b"[::1]",
        b"a.example\0.other.example",
        b"a.example\n",
        "bücher.example".encode(),
        "bücher.example".encode("latin-1"),
        "a。example".encode(),
        b"a.example.123",
        b"a" * 64 + b".example",
        b"a." * 126 + b"bc",
    ],
)
def test_a_name_that_is_no_host_name_is_refused(name):
    assert_refused(named(name), ILLEGAL_PARAMETER, "no host name")


# Malformed hellos


@pytest.mark.parametrize(
    "message",
    [
        client_hello(session_id=bytes(33)),
        client_hello(suites=b""),
        client_hello(suites=b"\x13\x01\x13"),
        client_hello(compression=b""),
        client_hello([b"\0"]),
        client_hello([b"\0\0\0"]),
        client_hello([b"\x12\x34\0\x05four"]),
        client_hello([extension(SERVER_NAME)]),
        client_hello([server_name()]),
        client_hello([extension(SERVER_NAME, b"\0")]),
        client_hello([extension(SERVER_NAME, vector(b"\0", 2))]),
        client_hello([extension(SERVER_NAME, vector(b"\0\0\x09four", 2))]),
        client_hello([extension(SERVER_NAME, vector(b"\0" + vector(NAME, 2), 2) + b"\0")]),
    ],
)
def test_a_malformed_field_is_refused(message):
    assert_refused(records(message), DECODE_ERROR, "malformed")


def test_a_hello_that_ends_early_or_late_is_refused():
    body = client_hello([server_name(NAME)])[4:]
    ends_without_extensions = body.index(b"\x01\0\0") + 2
    for end in range(len(body)):
        if end != ends_without_extensions:
            assert_refused(record(b"\x01" + vector(body[:end], 3)), DECODE_ERROR)
    assert_refused(record(b"\x01" + vector(body + b"\0", 3)), DECODE_ERROR)


# Answers


def test_clients_understand_the_alert_for_an_unknown_name():
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="www.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert read(outgoing.read()) == FOUND
    incoming.write(unrecognized_name_alert())
    with pytest.raises(ssl.SSLError) as refusal:
        client.do_handshake()
    assert refusal.value.reason == "TLSV1_UNRECOGNIZED_NAME"


# Any bytes

labels = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,8}[A-Za-z0-9_])?", fullmatch=True)
top_labels = st.from_regex(r"[A-Za-z][A-Za-z0-9]{1,8}", fullmatch=True)
names = st.builds(
    lambda below, top, dot: ".".join([*below, top]) + dot,
    st.lists(labels, max_size=4),
    top_labels,
    st.sampled_from(["", "."]),
)
other_extensions = st.lists(
    st.builds(extension, st.integers(1, 0xFFFF), st.binary(max_size=40)), max_size=4
)
messages = st.builds(
    lambda before, entry, after, session_id: client_hello(
        [*before, entry, *after], session_id=session_id
    ),
    other_extensions,
    st.builds(lambda name: server_name(name.encode()), names) | st.builds(extension, st.just(9)),
    other_extensions,
    st.binary(max_size=32),
)


@given(names, other_extensions, other_extensions, st.integers(1, 300), st.binary(max_size=20))
def test_every_name_in_every_hello_is_found(name, before, after, size, tail):
    hello = records(client_hello([*before, server_name(name.encode()), *after]), size)
    assert read(hello + tail) == ServerName(name.lower().removesuffix("."))
    check(hello + tail)


@given(st.data(), messages, st.integers(1, 300))
def test_changed_hellos_raise_nothing_but_the_one_error(data, message, size):
    hello = bytearray(records(message, size))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(hello) - 1))
        hello[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        hello = hello or bytearray(1)
    check(bytes(hello))


@given(st.binary() | st.builds(lambda body: record(b"\x01" + vector(body, 3)), st.binary()))
@example(b"")
def test_any_bytes_raise_nothing_but_the_one_error(data):
    check(data)


@given(messages, st.lists(st.integers(0, 400)))
def test_the_split_does_not_matter(message, cuts):
    hello = records(message, 100)
    places = [0, *sorted(min(cut, len(hello)) for cut in cuts), len(hello)]
    assert read(*[hello[a:b] for a, b in pairwise(places)]) == read(hello)
