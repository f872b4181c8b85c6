"""Caddy's question about a name: which names are answered with 200, 404 and 400."""

from __future__ import annotations

import pytest

from quictunnel.admin.caddy import ask_operation

KNOWN = {"www.example.com", "xn--bcher-kva.example"}


@pytest.fixture
async def ask(serve):
    peer = await serve(ask_operation(KNOWN.__contains__).route())

    async def ask(query: str) -> int:
        return (await peer.request(f"/caddy/ask{query}")).status

    return ask


@pytest.mark.parametrize(
    "name", ["www.example.com", "WWW.Example.COM", "www.example.com.", "xn--bcher-kva.example"]
)
async def test_a_known_name_is_allowed_in_every_spelling(ask, name):
    assert await ask(f"?domain={name}") == 200


async def test_a_name_in_unicode_is_the_name_in_ascii(ask):
    assert await ask("?domain=b%C3%BCcher.example") == 200


@pytest.mark.parametrize("name", ["example.com", "other.example.com", "www.example.com.evil.test"])
async def test_an_unknown_name_is_not_allowed(ask, name):
    assert await ask(f"?domain={name}") == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?domain=",
        "?domain=192.0.2.1",
        "?domain=*.example.com",
        "?domain=a..b",
        "?domain=www.example.com%00",
        f"?domain={'a' * 64}.example.com",
        "?name=www.example.com",
        "?domain=www.example.com&domain=www.example.com",
    ],
)
async def test_a_question_without_one_host_name_is_invalid(ask, query):
    assert await ask(query) == 400
