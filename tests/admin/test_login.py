"""The token of the admin interface: the header, the login form and the limit on wrong tokens."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from quictunnel.admin import login as module
from quictunnel.admin.login import FORM, NEEDED, TOO_MANY, WRONG, TokenLogin
from quictunnel.config.admin_token import AdminToken
from quictunnel.events import AdminLoginFailed

TOKEN = "4f1c9ad2e07b35886d1f"
COOKIE = "quictunnel-remote-9002"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class GuardedPeer:
    """A server that needs the token, and the events of its logins."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events = []
        self.login = TokenLogin(AdminToken(TOKEN), COOKIE, emit=self.events.append, now=self.clock)

    async def start(self, serve) -> None:
        async def trust(request):
            return JSONResponse({"trusted": request.state.is_trusted})

        open_paths = [Route(path, trust) for path in ("/livez", "/readyz", "/caddy/ask")]
        self.peer = await serve(*self.login.routes(), *open_paths, guard=self.login.guard)

    async def get(self, path: str = "/hello", **headers: str):
        return await self.peer.request(path, **headers)

    async def try_token(self, token: str):
        return await self.get(Authorization=f"Bearer {token}")

    async def log_in(self, token: str, **headers: str):
        headers = {"Content_Type": FORM} | headers
        body = urlencode({"token": token}).encode()
        return await self.peer.request("/login", method="POST", body=body, **headers)


@pytest.fixture
async def guarded(serve):
    peer = GuardedPeer()
    await peer.start(serve)
    return peer


async def test_a_request_with_the_token_is_answered(guarded):
    assert (await guarded.try_token(TOKEN)).body == b"hello\n"
    assert (await guarded.get(Authorization=f"bearer  {TOKEN} ")).status == 200


async def test_a_request_without_the_token_is_refused(guarded):
    answer = await guarded.get()
    assert (answer.status, answer.json) == (401, {"error": NEEDED})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.events == []


@pytest.mark.parametrize(
    "header", ["Basic dTpw", "Bearer", TOKEN, f"Token {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"]
)
async def test_another_header_is_refused(guarded, header):
    answer = await guarded.get(Authorization=header)
    assert (answer.status, TOKEN.encode() in answer.body) == (401, False)


async def test_the_token_does_not_count_in_the_url(guarded):
    assert (await guarded.get(f"/hello?token={TOKEN}")).status == 401


async def test_a_wrong_token_is_an_event_with_the_address(guarded):
    answer = await guarded.try_token("wrong")
    assert (answer.status, answer.json) == (401, {"error": WRONG})
    (event,) = guarded.events
    assert isinstance(event, AdminLoginFailed)
    assert event.peer.startswith("127.0.0.1:")


async def test_after_some_wrong_tokens_others_must_wait(guarded):
    for _ in range(module.MAX_FAILURES):
        assert (await guarded.try_token("wrong")).status == 401
    answer = await guarded.try_token("wrong")
    assert (answer.status, answer.json) == (429, {"error": TOO_MANY})
    assert 0 < int(answer.headers["retry-after"]) <= module.RECOVERY
    assert (await guarded.log_in("wrong")).status == 429
    assert len(guarded.events) == module.MAX_FAILURES
    guarded.clock.now += module.RECOVERY
    assert (await guarded.try_token("wrong")).status == 401


async def test_strangers_with_wrong_tokens_shut_out_nobody_behind_the_same_proxy(guarded):
    for _ in range(module.MAX_FAILURES + 1):
        await guarded.try_token("wrong")
    assert (await guarded.try_token(TOKEN)).status == 200
    assert (await guarded.log_in(TOKEN)).status == 303


async def test_the_number_of_limited_sources_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_SOURCES", 3)
    failures = module._Failures(Clock())
    for number in range(10):
        for _ in range(module.MAX_FAILURES):
            failures.add(f"192.0.2.{number}")
    assert [failures.wait(f"192.0.2.{number}") > 0 for number in (0, 6, 7, 9)] == [
        False,
        False,
        True,
        True,
    ]


async def test_health_needs_no_token_and_routes_know_who_asks(guarded):
    for path in ("/livez", "/readyz"):
        assert (await guarded.get(path)).json == {"trusted": False}
        answer = await guarded.get(path, Authorization=f"Bearer {TOKEN}")
        assert answer.json == {"trusted": True}


async def test_caddy_on_the_same_machine_needs_no_token(guarded, monkeypatch):
    assert (await guarded.get("/caddy/ask")).status == 200
    monkeypatch.setattr(module, "_is_of_this_machine", lambda _scope: False)
    assert (await guarded.get("/caddy/ask")).status == 401


async def test_a_person_is_led_to_the_login_form(guarded):
    answer = await guarded.get(Accept="text/html,*/*")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    form = await guarded.get("/login")
    assert (form.status, b'type="password"' in form.body) == (200, True)
    assert (await guarded.get("/login.css")).headers["content-type"].startswith("text/css")


def test_a_cookie_is_good_only_for_the_source_that_has_logged_in():
    logins = module._Logins(Clock())
    cookie = logins.add("192.0.2.7")
    assert logins.includes(cookie, "192.0.2.7")
    assert not logins.includes(cookie, "192.0.2.8")
    assert not logins.includes("", "192.0.2.7")


async def test_a_login_sets_a_cookie_that_scripts_and_other_sites_cannot_use(guarded):
    answer = await guarded.log_in(TOKEN)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(attributes)
    assert cookie.startswith(f"{COOKIE}=")
    assert TOKEN not in cookie
    assert (await guarded.get(Cookie=cookie)).status == 200
    assert (await guarded.get(Cookie=f"{COOKIE}=wrong")).status == 401


async def test_a_login_ends_after_some_time_and_by_logging_out(guarded):
    cookies = [(await guarded.log_in(TOKEN)).headers["set-cookie"].split(";")[0] for _ in range(2)]
    assert cookies[0] != cookies[1]
    answer = await guarded.peer.request("/logout", method="POST", Cookie=cookies[0])
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert [(await guarded.get(Cookie=each)).status for each in cookies] == [401, 200]
    guarded.clock.now += module.LOGIN_LIFETIME
    assert (await guarded.get(Cookie=cookies[1])).status == 401


async def test_the_number_of_logins_is_bounded(guarded, monkeypatch):
    monkeypatch.setattr(module, "MAX_LOGINS", 2)
    cookies = [(await guarded.log_in(TOKEN)).headers["set-cookie"].split(";")[0] for _ in range(3)]
    assert [(await guarded.get(Cookie=each)).status for each in cookies] == [401, 200, 200]


async def test_a_wrong_token_shows_the_form_again(guarded):
    answer = await guarded.log_in("wrong<script>")
    assert answer.status == 403
    assert b"This is not the token" in answer.body
    assert b"wrong" not in answer.body
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "body", [b"", b"token", b"token=a&token=b", b"\xff=\xff", b"a=1&b=2&c=3&d=4&token=x", b"%"]
)
async def test_a_malformed_form_is_a_wrong_token(guarded, body):
    answer = await guarded.peer.request("/login", method="POST", body=body, Content_Type=FORM)
    assert answer.status == 403


async def test_a_form_of_another_type_or_size_is_refused(guarded):
    assert (await guarded.log_in(TOKEN, Content_Type="text/plain")).status == 415
    assert (await guarded.log_in("x" * 5000)).status == 413
