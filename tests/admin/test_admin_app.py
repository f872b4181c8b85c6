"""The rules for all routes of the admin interface: headers, errors, and failing routes."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from starlette.responses import PlainTextResponse
from starlette.routing import Route

from quictunnel.admin.app import HEADERS
from quictunnel.events import InternalErrorOccurred


async def test_every_answer_has_the_date_and_the_security_headers(serve):
    peer = await serve()
    for path, host in (("/hello", "localhost"), ("/missing", "localhost"), ("/hello", "a.test")):
        answer = await peer.request(path, host=host)
        assert parsedate_to_datetime(answer.headers["date"]).tzinfo is not None
        assert answer.headers["cache-control"] == "no-store"
        assert HEADERS.items() <= {name: answer.headers[name.lower()] for name in HEADERS}.items()


async def test_a_route_may_allow_its_answer_to_be_stored(serve):
    async def asset(_request):
        return PlainTextResponse("", headers={"Cache-Control": "max-age=60"})

    answer = await (await serve(Route("/asset", asset))).request("/asset")
    assert answer.headers["cache-control"] == "max-age=60"


async def test_nothing_names_the_server_software(serve):
    answer = await (await serve()).request("/hello")
    assert "server" not in answer.headers


async def test_an_unknown_path_and_another_method_are_errors_in_json(serve):
    peer = await serve()
    missing, wrong = await peer.request("/missing"), await peer.request("/hello", method="PUT")
    assert (missing.status, missing.json) == (404, {"error": "there is no such path"})
    assert (wrong.status, wrong.json) == (405, {"error": "the path has another method"})


async def test_a_failing_route_is_an_internal_error_and_the_next_request_is_answered(serve):
    async def fail(_request):
        raise ZeroDivisionError("a secret")

    peer = await serve(Route("/fail", fail))
    answer = await peer.request("/fail")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer.json["error"].startswith("internal error")
    (event,) = peer.events
    assert isinstance(event, InternalErrorOccurred)
    assert isinstance(event.exception, ZeroDivisionError)
    assert (await peer.request("/hello")).status == 200
