from __future__ import annotations

import http.client
import io
import tracemalloc
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.http_host import PARSERS, check
from fuzz.outcomes import outcome
from quictunnel.protocol.http_host import (
    MAX_REQUEST_HEAD,
    RequestHeadError,
    RequestHost,
    RequestHostReader,
    response,
)

FOUND = RequestHost("www.example.com")
HEAD = (
    b"GET /path?query HTTP/1.1\r\nUser-Agent: test\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n"
)


def read(data, *more):
    return outcome(RequestHostReader(), [data, *more])


def get(*fields, target=b"/", version=b"1.1"):
    """The head of a GET request with these field lines."""
    lines = [b"GET " + target + b" HTTP/" + version, *fields]
    return b"".join(line + b"\r\n" for line in [*lines, b""])


def padded(size):
    """A head of this many bytes."""
    missing = size - len(get(b"Host: www.example.com", b"X: "))
    return get(b"Host: www.example.com", b"X: " + b"x" * missing)


def assert_refused(data, status=400, reason=None):
    with pytest.raises(RequestHeadError, match=reason) as refusal:
        RequestHostReader().feed(data)
    assert refusal.value.status == status
    check(data)  # in any split


# Pieces


def test_two_segments_may_be_cut_anywhere():
    for cut in range(1, len(HEAD)):
        reader = RequestHostReader()
        assert reader.feed(HEAD[:cut]) is None
        assert reader.feed(HEAD[cut:]) == FOUND


def test_bytes_may_come_one_by_one():
    assert read(*[bytes([byte]) for byte in HEAD]) == FOUND


def test_an_empty_piece_changes_nothing():
    assert read(b"", HEAD[:30], b"", HEAD[30:]) == FOUND


def test_the_host_is_known_only_when_the_head_is_whole():
    assert read(HEAD[:-1]) is None


@pytest.mark.parametrize(
    "after", [b"body", b"\r\n", b"\0\xff", get(b"Host: other.example"), b"x" * 100_000]
)
def test_bytes_after_the_head_are_ignored(after):
    assert read(HEAD + after) == FOUND


# Length


def test_a_head_of_the_greatest_length_is_read():
    assert len(padded(MAX_REQUEST_HEAD)) == MAX_REQUEST_HEAD
    assert read(padded(MAX_REQUEST_HEAD)) == FOUND
    assert read(padded(MAX_REQUEST_HEAD), b"more") == FOUND


def test_a_longer_head_is_refused():
    head = padded(MAX_REQUEST_HEAD + 1)
    assert read(head[: MAX_REQUEST_HEAD - 1]) is None
    assert_refused(head[:MAX_REQUEST_HEAD], 431, "more than 16384 bytes")
    assert_refused(head, 431)
    assert_refused(get(*[b"a:"] * MAX_REQUEST_HEAD), 431)


def test_a_longer_request_line_is_refused():
    assert_refused(b"GET /" + b"x" * MAX_REQUEST_HEAD, 414, "more than 16384 bytes")


def test_no_more_than_the_limit_is_kept():
    data = b"GET /" + b"x" * (1 << 20)
    tracemalloc.start()
    try:
        reader = RequestHostReader()
        with pytest.raises(RequestHeadError):
            reader.feed(data)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_REQUEST_HEAD
    finally:
        tracemalloc.stop()


# Host


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b"Host: www.example.com", "www.example.com"),
        (b"Host: WWW.Example.COM", "www.example.com"),
        (b"Host: www.example.com.", "www.example.com"),
        (b"Host: www.example.com:8080", "www.example.com"),
        (b"Host: www.example.com.:80", "www.example.com"),
        (b"Host: www.example.com:", "www.example.com"),
        (b"Host:www.example.com", "www.example.com"),
        (b"Host: \t www.example.com \t ", "www.example.com"),
        (b"hOST: www.example.com", "www.example.com"),
        (b"Host: localhost:8000", "localhost"),
        (b"Host: xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"Host: my_host.example.com", "my_host.example.com"),
        (b"Host: 192.0.2.7", None),
        (b"Host: 192.0.2.7:8080", None),
        (b"Host: 127.1", None),
        (b"Host: 0x7f000001", None),
        (b"Host: [2001:db8::7]", None),
        (b"Host: [2001:DB8::7]:8080", None),
        (b"Host: [::ffff:192.0.2.7]", None),
        (b"Host:", None),
        (b"Host: \t", None),
    ],
)
def test_the_host_is_returned_in_one_spelling_and_without_its_port(field, name):
    assert read(get(field)) == RequestHost(name)
    check(get(field))


@pytest.mark.parametrize(
    "host",
    [
        b"a b.example",
        b"a.example b.example",
        b"a.example, b.example",
        b"a.example,b.example",
        b"a.example;",
        b"a.example/",
        b"a.example?",
        b"a.example#",
        b"a.example\\",
        b"http://a.example",
        b"//a.example",
        b"user@a.example",
        b"user:80@a.example",
        b"a.example:80:80",
        b"a.example:port",
        b"a.example:-1",
        b"a.example:999999",
        b"a.example: 80",
        b"a.example :80",
        b":80",
        b"*.example",
        b"*",
        b".",
        b".example",
        b"a..example",
        b"a.example..",
        b"-a.example",
        b"ex%61mple.com",
        b'"a.example"',
        b"'a.example'",
        b"b\xc3\xbccher.example",
        b"a.example\xa0",
        b"\x85a.example",
        b"a.example.123",
        b"2001:db8::7",
        b"::1",
        b"[::1",
        b"::1]",
        b"[]",
        b"[a.example]",
        b"[192.0.2.7]",
        b"[fe80::1%25eth0]",
        b"[fe80::1%eth0]",
        b"[v1.a]",
        b"[::1]a",
        b"[::1]]",
        b"[[::1]]",
        b"a" * 64 + b".example",
        b"a." * 126 + b"bc",
    ],
)
def test_a_malformed_host_is_refused(host):
    assert_refused(get(b"Host: " + host), reason="malformed")
    if b"/" not in host and b"?" not in host and b"#" not in host:
        assert_refused(get(b"Host:", target=b"http://" + host + b"/"), reason="malformed")


def test_http_1_1_needs_a_host():
    assert_refused(get(), reason="without Host")
    assert_refused(get(b"X-Forwarded-Host: www.example.com"), reason="without Host")
    assert_refused(get(target=b"http://www.example.com/"), reason="without Host")


def test_http_1_0_needs_no_host():
    assert read(get(version=b"1.0")) == RequestHost(None)
    assert read(get(b"Host: www.example.com", version=b"1.0")) == FOUND


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("second", [b"a.example", b"b.example", b""])
def test_two_hosts_are_refused_even_if_they_are_equal(version, second):
    head = get(b"Host: a.example", b"Accept: */*", b"host:" + second, version=version)
    assert_refused(head, reason="two Host fields")


@pytest.mark.parametrize(
    "fields",
    [
        [b"Host : a.example"],
        [b"Host\t: a.example"],
        [b" Host: a.example"],
        [b"\tHost: a.example"],
        [b"Host: a.example", b" b.example"],
        [b"Host:", b" a.example"],
        [b"Host: a.example", b"X: y", b"\tHost: b.example"],
        [b"Host: a.example", b" "],
        [b"Host"],
        [b": a.example"],
        [b"Ho st: a.example"],
        [b"Host\xa0: a.example"],
        [b"Host: a.example", b"no colon"],
        [b"(Host): a.example"],
    ],
)
def test_a_field_that_servers_may_read_differently_is_refused(fields):
    assert_refused(get(*fields), reason="malformed header field")


@pytest.mark.parametrize("control", [*range(9), *range(10, 32), 127])
def test_control_characters_are_refused_everywhere(control):
    byte = bytes([control])
    reason = "control character|CRLF"
    assert_refused(get(b"Host: a.exa" + byte + b"mple"), reason=reason)
    assert_refused(get(b"Host: a.example", b"X: a" + byte + b"b"), reason=reason)
    assert_refused(get(b"Host: a.example", b"X" + byte + b": a"), reason=reason)
    assert_refused(get(b"Host: a.example", target=b"/a" + byte), reason=reason)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: a.example\n\n",
        b"GET / HTTP/1.1\r\nHost: a.example\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a.example\rHost: b.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n",
        b"\nGET / HTTP/1.1\r\n",
    ],
)
def test_every_line_ends_in_crlf_and_has_no_other_cr_or_lf(head):
    assert_refused(head, reason="control character|CRLF")


@pytest.mark.parametrize(
    "field",
    [
        b"Cookie: a=b; c=\xc3\xa4",
        b"X: \x85\xa0\xff",
        b"X:\ta\tb",
        b"X:",
        b"!#$%&'*+-.^_`|~1aZ: y",
        b"X-Host: b.example",
        b"Hostname: b.example",
        b"X: Host: b.example",
    ],
)
def test_other_fields_may_have_any_value(field):
    assert read(get(field, b"Host: www.example.com", field)) == FOUND
    check(get(field, b"Host: www.example.com", field))


# The request line


@pytest.mark.parametrize(
    "target",
    [
        b"http://www.example.com/path?query",
        b"http://www.example.com",
        b"http://www.example.com?query",
        b"http://www.example.com:8080/",
        b"HTTP://WWW.Example.COM./",
        b"https://www.example.com/",
        b"http://www.example.com/http://other.example/",
        b"http://www.example.com/@other.example",
        b"http://www.example.com?@other.example",
    ],
)
def test_a_target_in_absolute_form_names_the_host(target):
    assert read(get(target=target, version=b"1.0")) == FOUND
    assert read(get(b"Host: www.example.com", target=target)) == FOUND
    check(get(b"Host: www.example.com", target=target))


@pytest.mark.parametrize("host", [b"other.example", b"", b"192.0.2.7"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_host_that_differs_from_the_target_is_refused(host, version):
    head = get(b"Host: " + host, target=b"http://www.example.com/", version=version)
    assert_refused(head, reason="differs")


def test_a_target_may_name_an_ip_address():
    target = b"http://[2001:db8::7]:80/"
    assert read(get(target=target, version=b"1.0")) == RequestHost(None)
    assert read(get(b"Host: [2001:db8::7]:80", target=target)) == RequestHost(None)
    assert_refused(get(b"Host: www.example.com", target=target), reason="differs")


@pytest.mark.parametrize("target", [b"/", b"//", b"//b.example/", b"/http://b.example/", b"/@\\"])
def test_a_target_that_begins_with_a_slash_names_no_host(target):
    assert read(get(b"Host: www.example.com", target=target)) == FOUND
    check(get(b"Host: www.example.com", target=target))


@pytest.mark.parametrize(
    "target",
    [
        b"http:///path",
        b"http://",
        b"http://?query",
        b"http://:80/",
        b"http://user@www.example.com/",
        b"http://www.example.com\\@other.example/",
        b"http:/www.example.com/",
        b"http:www.example.com",
        b"ftp://www.example.com/",
        b"ws://www.example.com/",
        b"www.example.com:80",
        b"path",
        b"*",
        b"?",
        b"\\",
        b"/\xc3\xa4",
    ],
)
def test_any_other_target_is_refused(target):
    assert_refused(get(b"Host: www.example.com", target=target), reason="malformed")


def test_options_may_ask_for_the_whole_server():
    assert read(b"OPTIONS * HTTP/1.1\r\nHost: www.example.com\r\n\r\n") == FOUND


def test_connect_is_refused():
    head = b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n"
    assert_refused(head, 501)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PATCH", b"BREW", b"M-SEARCH", b"head"])
def test_any_method_but_head_has_a_response_with_content(method):
    assert read(HEAD.replace(b"GET", method)) == FOUND
    assert read(HEAD.replace(b"GET", b"HEAD")) == RequestHost("www.example.com", is_head=True)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET / ",
        b" GET / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET / a HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.10",
        b"GET / HTTP/11",
        b"GET / HTTP /1.1",
        b"GET / HTTPS/1.1",
        b"GET HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"\xc3\xa4 / HTTP/1.1",
        b"/ HTTP/1.1",
    ],
)
def test_a_malformed_request_line_is_refused_as_soon_as_it_ends(line):
    assert_refused(line + b"\r\n", reason="malformed")


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",  # the preface of HTTP/2
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/3.0\r\n",
        b"GET / HTTP/1.2\r\n",
        b"GET / HTTP/0.9\r\n",
    ],
)
def test_other_versions_are_refused(data):
    assert_refused(data, 505, "version")


def test_a_tls_client_is_refused_at_its_first_byte():
    assert_refused(b"\x16")


# Answers


@pytest.mark.parametrize(("status", "phrase"), [(404, "Not Found"), (503, "Service Unavailable")])
def test_a_response_is_whole_and_ends_the_connection(status, phrase):
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a.example")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response(status, "Kein Server für diesen Namen."))
    head, content, end = [client.next_event() for _ in range(3)]
    assert (head.status_code, head.reason.decode()) == (status, phrase)
    fields = dict(head.headers)
    assert fields[b"content-type"] == b"text/plain; charset=utf-8"
    assert fields[b"connection"] == b"close"
    assert fields[b"cache-control"] == b"no-store"
    assert content.data.decode() == "Kein Server für diesen Namen.\n"
    assert isinstance(end, h11.EndOfMessage)
    assert client.their_state is h11.MUST_CLOSE


def test_a_response_to_head_has_no_content_but_its_length():
    with_content = response(404, "No.")
    assert response(404, "No.", is_head=True) == with_content.removesuffix(b"No.\n")
    assert b"\r\nContent-Length: 4\r\n" in with_content


@pytest.mark.parametrize("status", [400, 404, 414, 431, 501, 502, 503, 505])
def test_every_status_has_a_phrase(status):
    class Socket:
        def makefile(self, _mode):
            return io.BytesIO(response(status, "No."))

    answer = http.client.HTTPResponse(Socket())
    answer.begin()
    assert answer.status == status
    assert answer.reason
    assert answer.read() == b"No.\n"


# Any bytes

names = st.from_regex(r"([A-Za-z0-9_]{1,9}\.){0,4}[A-Za-z]{1,9}\.?", fullmatch=True)
ports = st.just("") | st.integers(0, 65535).map(lambda port: f":{port}")
tokens = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True)
values = st.from_regex(r"[\t -~\x80-\xff]{0,20}", fullmatch=True)
fields = st.lists(
    st.tuples(tokens.filter(lambda name: name.lower() != "host"), values).map(": ".join),
    max_size=4,
)
spaces = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def heads(draw):
    """A legal head, and the host that it names."""
    name, port = draw(names), draw(ports)
    target = draw(st.sampled_from(["/", "/path?query", f"http://{name}{port}/", f"HTTP://{name}"]))
    method = draw(st.sampled_from(["GET", "POST", "X-ANY"]))
    host = f"{draw(st.sampled_from(['Host', 'host', 'HOST']))}:{draw(spaces)}{name}{port}"
    lines = [
        f"{method} {target} HTTP/{draw(st.sampled_from(['1.0', '1.1']))}",
        *draw(fields),
        host + draw(spaces),
        *draw(fields),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1"), name.lower().removesuffix(".")


@given(heads(), st.binary(max_size=20))
def test_every_legal_head_is_read_like_other_parsers_read_it(head, tail):
    data, name = head
    assert read(data + tail) == RequestHost(name)
    check(data + tail)


@pytest.mark.parametrize("parse", PARSERS)
def test_the_other_parsers_accept_a_usual_head(parse):
    target, fields = parse(HEAD)
    assert target == b"/path?query"
    assert [value for name, value in fields if name.lower() == b"host"] == [b"www.example.com"]


@given(st.data(), heads())
def test_changed_heads_raise_nothing_but_the_one_error(data, head):
    changed = bytearray(head[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        piece = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\r\n ", b"Host: b\r\n", b" ", b":"])
        )
        changed[at : at + data.draw(st.integers(0, 3))] = piece
    check(bytes(changed))


@given(st.binary() | st.builds(get, st.binary(), target=st.binary()))
@example(b"")
def test_any_bytes_raise_nothing_but_the_one_error(data):
    check(data)


@given(heads(), st.lists(st.integers(0, 300)))
def test_the_split_does_not_matter(head, cuts):
    data = head[0]
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert read(*[data[a:b] for a, b in pairwise(places)]) == read(data)
