"""Requests of every kind cause neither an internal error nor a line in the log."""

from __future__ import annotations

import asyncio
import random

import pytest
from observed_role import managed_role

from quictunnel.admin.access import SameSite, is_local
from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.login import TokenLogin
from quictunnel.admin.routes import make_operations
from quictunnel.config.admin_token import AdminToken

TOKEN = "4f1c9ad2e07b35886d1f"
METHODS = ["GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "X" * 50, "get", ""]
VALUES = ["", "1", "-1", "%00", "%FF", "%D9%A1", "a" * 3000, "../..", "%2e%2e/", "true", "%C3%28"]
HEADERS = [
    "Host: localhost",
    "Host: evil.test",
    "Origin: http://evil.test",
    "Cookie: a=b; \xff=\xfe; quictunnel-remote-1=x",
    'Cookie: "',
    "Authorization: Bearer \xe9\xff",
    f"Authorization: Bearer {TOKEN}",
    "Content-Type: application/json",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Length: 5",
    "Content-Length: 99999999999999999999",
    "Content-Length: -1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Expect: 100-continue",
    "Upgrade: websocket",
    "Connection: upgrade",
    "Last-Event-ID: \xb2",
    "Range: bytes=0-",
    "Accept: text/html",
    "X" * 5000 + ": 1",
]
BODIES = [b"", b"{}", b"[[[[", b"token=%ff%00", b"5\r\n{}{}{\r\n0\r\n\r\n", bytes(range(256)) * 40]


@pytest.fixture
async def peer(serve):
    managed = managed_role(has_site=lambda name: name == "www.test")
    streams = EventStreams(managed.history)
    operations = make_operations(managed, streams)
    events = []
    login = TokenLogin(AdminToken(TOKEN), "quictunnel-remote-1", emit=lambda _event: None)
    routes = [*login.routes(), *(operation.route() for operation in operations)]
    peer = await serve(*routes, guard=lambda app: SameSite(login.guard(app), is_local))
    peer.paths = [operation.path for operation in operations] + ["/", "/login", "*", "//x", "?"]
    peer.names = [each.name for operation in operations for each in operation.parameters]
    yield peer
    streams.close()
    assert events == []


def _request(rng: random.Random, paths: list[str], names: list[str]) -> bytes:
    query = "&".join(f"{rng.choice(names)}={rng.choice(VALUES)}" for _ in range(rng.randrange(4)))
    target = f"{rng.choice(paths).replace('{id}', rng.choice(VALUES))}?{query}"
    version = rng.choice(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", ""])
    headers = rng.sample(HEADERS, rng.randrange(5)) + ["Host: localhost"] * (rng.random() < 0.8)
    lines = [f"{rng.choice(METHODS)} {target} {version}", *headers, "", ""]
    data = bytearray("\r\n".join(lines).encode("latin-1") + rng.choice(BODIES))
    if rng.random() < 0.3:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
async def test_random_requests_are_answered_or_refused(peer, caplog, seed):
    rng = random.Random(seed)
    answered = 0
    for _ in range(100):
        request = _request(rng, peer.paths, peer.names)
        reader, writer = await peer.connect()
        writer.write(request)
        if rng.random() < 0.7:
            writer.write_eof()
        try:
            async with asyncio.timeout(0.2 if rng.random() < 0.1 else 0.02):
                answer = await reader.read(65536)
        except (TimeoutError, ConnectionError):
            answer = b""
        writer.transport.abort()
        answered += bool(answer)
        assert not answer.startswith(b"HTTP/1.1 5"), (request, answer)
        assert TOKEN.encode() not in answer
    assert answered
    assert peer.events == []
    assert caplog.records == []
