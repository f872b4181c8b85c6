"""The demo's web page and download."""

from __future__ import annotations

import asyncio

import pytest

from quictunnel.cli import demo_download
from quictunnel.cli.demo_download import BLOCK, SHA256, SIZE
from quictunnel.cli.demo_site import DOWNLOAD_PATH, MAX_REQUEST, Site
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble, encode_v2

HEADER = encode_v2(
    Preamble(
        client=Address("192.0.2.7", 5555),
        outside=Address("198.51.100.1", 9000),
        client_id="<ab12>",
    )
)


@pytest.fixture
async def ask():
    site = Site()
    await site.start()

    async def ask(*pieces):
        reader, writer = await asyncio.open_connection(site.address.host, site.address.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionResetError:
            return None
        finally:
            writer.close()

    yield ask
    site.close()


async def test_the_page_names_its_visitor(ask):
    answer = await ask(HEADER + b"GET /?x HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, page = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(page)}".encode() in head
    assert b"192.0.2.7:5555" in page
    assert b"198.51.100.1:9000" in page
    assert b"id=&lt;ab12&gt;" in page


async def test_a_request_in_pieces(ask):
    answer = await ask(HEADER[:9], HEADER[9:], b"GET / HTTP/1.1\r\n", b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_head_has_no_body(ask):
    assert (await ask(HEADER + b"HEAD / HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


async def test_other_paths_and_methods(ask):
    assert b" 404 " in await ask(HEADER + b"GET /favicon.ico HTTP/1.1\r\n\r\n")
    assert b" 405 " in await ask(HEADER + b"POST / HTTP/1.1\r\n\r\n")


async def test_whoever_comes_past_the_tunnel_is_reset(ask):
    assert not await ask(b"GET / HTTP/1.1\r\n\r\n")


async def test_a_request_without_end_is_reset(ask):
    assert not await ask(HEADER + b"x" * (MAX_REQUEST + 1))


async def test_the_page_names_the_download_and_its_hash(ask):
    page = await ask(HEADER + b"GET / HTTP/1.1\r\n\r\n")
    assert f'href="{DOWNLOAD_PATH}"'.encode() in page
    assert SHA256.encode() in page


async def test_the_head_of_the_download_has_its_size(ask):
    answer = await ask(HEADER + f"HEAD {DOWNLOAD_PATH} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"\r\nContent-Length: {SIZE}\r\n".encode() in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_the_download_has_its_content(ask, monkeypatch):
    monkeypatch.setattr(demo_download, "SIZE", 3 * BLOCK)
    answer = await ask(HEADER + f"GET {DOWNLOAD_PATH} HTTP/1.1\r\n\r\n".encode())
    assert answer.partition(b"\r\n\r\n")[2] == b"".join(demo_download.blocks())
