"""The opening handshake: requests that open a WebSocket, and all those that do not."""

from __future__ import annotations

import asyncio

import pytest
from websocket_doubles import FakeTransport, RecordingHandler

from quictunnel.config.urls import parse_websocket_url
from quictunnel.errors import ProtocolError
from quictunnel.quic.path.websocket_acceptor import WebSocketAcceptor
from quictunnel.quic.path.websocket_frames import FrameEncoder
from quictunnel.quic.path.websocket_handshake import (
    MAX_HEAD,
    NOT_FOUND,
    ClientOpening,
    HeadReader,
    UnexpectedResponse,
    parse_opening,
    status_of,
)
from testkit.clock import virtual_time

URL = parse_websocket_url("wss://vps.example.com/quictunnel")

REQUEST = (
    b"GET /quictunnel HTTP/1.1\r\n"
    b"Host: vps.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
"""The request of RFC 6455, section 1.2."""


def without(field):
    """Return the request without one of its lines."""
    lines = REQUEST.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(field))


def test_both_ends_agree():
    opening = ClientOpening(URL)
    request = opening.request()
    assert request.startswith(b"GET /quictunnel HTTP/1.1\r\nHost: vps.example.com\r\n")
    assert b"Extensions" not in request
    opening.check(parse_opening(request).response)


def test_the_response_is_that_of_the_rfc():
    response = parse_opening(REQUEST).response
    assert response.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in response
    assert response.endswith(b"\r\n\r\n")


def test_offered_extensions_and_subprotocols_are_not_used():
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    response = parse_opening(REQUEST[:-2] + offer).response
    assert b"Extensions" not in response
    assert b"Protocol:" not in response


def test_proxies_fields_are_read_in_order():
    fields = b"X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nx-forwarded-for: 2001:db8::1\r\n\r\n"
    request = parse_opening(REQUEST[:-2] + fields)
    assert request.forwarded_for == ("192.0.2.1, 192.0.2.2", "2001:db8::1")


def test_a_query_is_no_part_of_the_path():
    assert parse_opening(REQUEST.replace(b"quictunnel", b"quictunnel?a=b")).path == "/quictunnel"


@pytest.mark.parametrize(
    "head",
    [
        REQUEST.replace(b"GET", b"POST"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/2"),
        REQUEST.replace(b"13", b"8"),
        REQUEST.replace(b"dGhl", b"!"),
        without(b"Upgrade"),
        without(b"Connection"),
        without(b"Sec-WebSocket-Key"),
        without(b"Sec-WebSocket-Version"),
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_other_requests_open_nothing(head):
    with pytest.raises(ProtocolError):
        parse_opening(head)


@pytest.mark.parametrize("field", [b"Sec-WebSocket-Key", b"Connection", b"Upgrade"])
def test_letters_beyond_ascii_in_a_field_open_nothing_and_are_not_logged(field, caplog):
    with pytest.raises(ProtocolError):
        parse_opening(without(field)[:-2] + field + b": \xff\xc3\xa4\r\n\r\n")
    assert caplog.records == []


def test_letters_beyond_ascii_in_other_fields_are_ignored():
    assert parse_opening(REQUEST[:-2] + b"X-City: M\xc3\xbcnchen\r\n\r\n").path == "/quictunnel"


def test_a_head_is_found_however_it_is_split():
    for size in range(1, len(REQUEST)):
        reader = HeadReader()
        pieces = [REQUEST[at : at + size] for at in range(0, len(REQUEST), size)]
        found = [reader.feed(piece) for piece in pieces]
        assert found[-1] == (REQUEST, b"")
        assert set(found[:-1]) <= {None}
    assert HeadReader().feed(REQUEST + b"rest") == (REQUEST, b"rest")


def test_a_long_head_is_refused():
    reader = HeadReader()
    assert reader.feed(b"a" * MAX_HEAD) is None
    with pytest.raises(ProtocolError, match="longer than 16384"):
        reader.feed(b"a")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 101 Switching Protocols", 101),
        (b"HTTP/1.0 200", 200),
        (b"HTTP/1.1 407 \xff", 407),
        (b"HTTP/1.1 20", 0),
        (b"HTTP/1.1 2000 x", 0),
        (b"HTTP/2 200 x", 0),
        (b"SSH-2.0-OpenSSH", 0),
        (b"", 0),
    ],
)
def test_a_responses_status_is_read(line, status):
    assert status_of(line + b"\r\n\r\n") == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (NOT_FOUND, 404),
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0),
        (parse_opening(REQUEST).response, 0),  # another client's
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0),
    ],
)
def test_other_responses_open_nothing(head, status):
    opening = ClientOpening(URL)
    opening.request()
    with pytest.raises(UnexpectedResponse) as raised:
        opening.check(head)
    assert raised.value.status == status
    assert "\n" not in str(raised.value)


class Owner:
    """Owns connections and records how each ends."""

    def __init__(self, *, admits=True):
        self.admits = admits
        self.asked = []
        self.paths = []
        self.failures = []
        self.handler = RecordingHandler()
        self.transport = FakeTransport()
        self.acceptor = WebSocketAcceptor(
            "/quictunnel", admit=self._admit, opened=self._opened, failed=self.failures.append
        )
        self.transport.set_protocol(self.acceptor)

    def _admit(self, request):
        self.asked.append(request)
        return self.admits

    def _opened(self, path, request):
        path.handler = self.handler
        self.paths.append(path)


@virtual_time
async def test_a_request_becomes_a_path_and_what_follows_it_is_data():
    owner = Owner()
    owner.acceptor.connection_made(owner.transport)
    owner.acceptor.data_received(REQUEST[:50])
    owner.acceptor.data_received(REQUEST[50:] + FrameEncoder(masks=True).datagrams([b"early"]))
    assert owner.transport.sent.startswith(b"HTTP/1.1 101 ")
    await owner.handler.wait_for(1)
    assert owner.handler.datagrams == [b"early"]
    assert owner.failures == []
    owner.paths[0].close()
    owner.paths[0].connection_lost(None)


@virtual_time
async def test_bytes_may_come_before_connection_made():
    """asyncio does so for a client whose request follows its last handshake message at once."""
    owner = Owner()
    owner.acceptor.data_received(REQUEST)
    assert owner.transport.sent == b""
    owner.acceptor.connection_made(owner.transport)
    assert len(owner.paths) == 1
    owner.paths[0].close()
    owner.paths[0].connection_lost(None)


@virtual_time
async def test_everything_else_gets_a_404():
    requests = (
        REQUEST.replace(b"quictunnel", b"other"),
        without(b"Upgrade"),
        b"GET /" + b"a" * 20_000,
    )
    for request in requests:
        owner = Owner()
        owner.acceptor.connection_made(owner.transport)
        owner.acceptor.data_received(request)
        owner.acceptor.data_received(request)
        owner.acceptor.connection_lost(None)
        assert owner.transport.sent == NOT_FOUND
        assert owner.transport.is_closing()
        assert owner.asked == []
        assert len(owner.failures) == 1


@virtual_time
async def test_a_client_that_speaks_something_else_is_refused_at_its_first_bytes():
    for received in (b"\x16", b"GEX", b"POST"):
        owner = Owner()
        owner.acceptor.connection_made(owner.transport)
        owner.acceptor.data_received(received)
        assert owner.transport.sent == NOT_FOUND
        assert owner.failures == ["the received bytes do not begin with 'GET '"]


@virtual_time
async def test_a_client_that_is_not_admitted_sees_the_same_404():
    owner = Owner(admits=False)
    owner.acceptor.connection_made(owner.transport)
    owner.acceptor.data_received(REQUEST)
    assert owner.transport.sent == NOT_FOUND
    assert [request.path for request in owner.asked] == ["/quictunnel"]
    assert owner.failures == ["the request is not admitted"]
    assert owner.paths == []


@virtual_time
async def test_a_connection_that_ends_early_is_reported_once():
    owner = Owner()
    owner.acceptor.connection_made(owner.transport)
    owner.acceptor.data_received(REQUEST[:20])
    owner.acceptor.eof_received()
    owner.acceptor.connection_lost(None)
    await asyncio.sleep(0)
    assert owner.failures == ["the client closed the connection"]
