"""The admin API's commands: close a client, reload and drain."""

from __future__ import annotations

import pytest
from observed_role import managed_role

from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.routes import make_routes


@pytest.fixture
def managed():
    return managed_role()


@pytest.fixture
async def peer(serve, managed):
    return await serve(*make_routes(managed, EventStreams(managed.history)))


async def test_a_client_is_closed(peer, managed):
    answer = await peer.command("/api/v1/clients/c1/close")
    assert (answer.status, answer.json) == (202, {})
    assert managed.role.calls == ["close c1"]


async def test_a_client_that_has_left_is_an_error(peer):
    answer = await peer.command("/api/v1/clients/none/close")
    assert (answer.status, answer.json["error"]) == (
        404,
        "there is no such client; it may have left",
    )


async def test_a_reload_returns_what_needs_a_restart(peer, managed):
    answer = await peer.command("/api/v1/reload")
    assert (answer.status, answer.json) == (202, {"restart_needed": ["listen"]})
    assert managed.control.calls == ["reload"]


async def test_a_reload_that_fails_says_why(peer, managed):
    managed.control.failure = "remote.toml: unknown key 'lisen'"
    answer = await peer.command("/api/v1/reload")
    assert (answer.status, answer.json) == (409, {"error": "remote.toml: unknown key 'lisen'"})


async def test_a_drain_is_accepted(peer, managed):
    answer = await peer.command("/api/v1/drain")
    assert (answer.status, answer.json) == (202, {})
    assert managed.control.calls == ["drain"]


@pytest.mark.parametrize("path", ["clients/c1/close", "reload", "drain"])
async def test_no_get_changes_anything(peer, managed, path):
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert (await peer.request(f"/api/v1/{path}", method=method)).status == 405
    assert managed.role.calls == managed.control.calls == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_form_gives_no_command(peer, managed, content_type):
    answer = await peer.command("/api/v1/drain", Content_Type=content_type)
    assert answer.status == 415
    assert managed.control.calls == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 202),
        (b'{"more": 1}', 202),
        (b"[]", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 4000, 400),
        (b" " * 5000, 413),
    ],
)
async def test_the_body_is_a_small_json_object(peer, body, status):
    assert (await peer.command("/api/v1/drain", body)).status == status


async def test_a_content_type_may_have_parameters(peer):
    answer = await peer.command("/api/v1/drain", Content_Type="Application/JSON; charset=utf-8")
    assert answer.status == 202
