"""QR codes: only those of services, and each is another drawing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed_role import ScriptedRole

from quictunnel.admin.qr_code import qr_operation
from testkit.snapshots import SERVICE

LONG = "https://example.com/" + "x" * 3000

URLS = ("https://www.example.com/", "tcp://[2001:db8::7]:2222", LONG)


@pytest.fixture
async def draw(serve):
    role = ScriptedRole()
    role.services = [replace(SERVICE, urls=URLS[:1]), replace(SERVICE, urls=URLS[1:])]
    peer = await serve(qr_operation(role).route())

    async def draw(query: str) -> tuple[int, bytes]:
        answer = await peer.request(f"/api/v1/qr{query}")
        return answer.status, answer.body

    return draw


async def test_an_address_of_a_service_is_drawn_as_svg(draw):
    status, first = await draw("?url=https%3A%2F%2Fwww.example.com%2F")
    assert status == 200
    assert first.startswith(b"<svg ")
    status, second = await draw("?url=tcp://[2001:db8::7]:2222")
    assert status == 200
    assert second.startswith(b"<svg ")
    assert first != second


@pytest.mark.parametrize(
    "query",
    ["", "?url=", "?url=https://www.example.com", "?url=https://evil.example/", f"?url={LONG}"],
    ids=["nothing", "empty", "like it", "another", "too long"],
)
async def test_anything_else_is_not_drawn(draw, query):
    status, body = await draw(query)
    assert status == 404
    assert b'"error"' in body


async def test_two_addresses_at_once_are_refused(draw):
    status, _ = await draw(f"?url={URLS[0]}&url={URLS[0]}")
    assert status == 400
