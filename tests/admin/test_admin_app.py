"""The rules for all routes of the admin interface: local hosts, the date, and failing routes."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from starlette.routing import Route

from quictunnel.admin.app import WRONG_HOST
from quictunnel.events import InternalErrorOccurred


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9002", "127.0.0.1", "127.0.0.1:80", "127.8.9.1", "[::1]", "[::1]:1"],
)
async def test_a_host_of_this_machine_is_answered(serve, host):
    answer = await (await serve()).get("/hello", host=host)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nhello\n")


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com:9002",
        "192.0.2.1",
        "0.0.0.0",
        "[2001:db8::1]:9002",
        "::1",
        "localhost:",
        "localhost:port",
        "localhost\r\nHost: localhost",
    ],
)
async def test_another_host_is_refused(serve, host):
    answer = await (await serve()).get("/hello", host=host)
    assert b"hello" not in answer
    assert answer.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 "))


async def test_a_refused_host_gets_a_sentence(serve):
    answer = await (await serve()).get("/hello", host="example.com")
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert answer.endswith(WRONG_HOST.encode())


async def test_a_request_without_a_host_is_refused(serve):
    answer = await (await serve()).send(b"GET /hello HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


async def test_every_answer_has_the_date(serve):
    peer = await serve()
    for path in ("/hello", "/missing"):
        head = (await peer.get(path)).decode().partition("\r\n\r\n")[0]
        dates = [line for line in head.split("\r\n") if line.lower().startswith("date: ")]
        assert len(dates) == 1
        assert parsedate_to_datetime(dates[0].partition(": ")[2]).tzinfo is not None


async def test_an_unknown_path_and_another_method_have_their_status(serve):
    peer = await serve()
    assert (await peer.get("/missing")).startswith(b"HTTP/1.1 404 ")
    assert (await peer.get("/hello", method="POST")).startswith(b"HTTP/1.1 405 ")


async def test_a_failing_route_is_an_internal_error_and_the_next_request_is_answered(serve):
    async def fail(_request):
        raise ZeroDivisionError

    peer = await serve(Route("/fail", fail))
    assert (await peer.get("/fail")).startswith(b"HTTP/1.1 500 ")
    (event,) = peer.events
    assert isinstance(event, InternalErrorOccurred)
    assert isinstance(event.exception, ZeroDivisionError)
    assert (await peer.get("/hello")).startswith(b"HTTP/1.1 200 ")
