"""The files of the live page: types, caching, the policy, and nothing from elsewhere."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from quictunnel.admin.extension import PageExtension
from quictunnel.admin.extension_actions import action_operations
from quictunnel.admin.page import page_routes


@pytest.fixture
async def page(serve):
    return await serve(*page_routes(None))


async def get(peer, path: str, **headers: str):
    answer = await peer.request(path, **headers)
    return answer.headers | {"status": str(answer.status)}, answer.body.decode()


PATHS = [route.path for route in page_routes(None)]

SCRIPTS = [path for path in PATHS if path.endswith(".js")]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/main.js", "text/javascript; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
async def test_each_file_has_its_exact_type(page, path, kind):
    headers, body = await get(page, path)
    assert (headers["status"], headers["content-type"]) == ("200", kind)
    assert headers["x-content-type-options"] == "nosniff"
    assert body


@pytest.mark.parametrize("path", ["/index.html", "/page/", "/page/../page.py", "/page/missing.js"])
async def test_other_paths_are_unknown(page, path):
    assert (await get(page, path))[0]["status"] == "404"


@pytest.mark.parametrize("path", PATHS)
async def test_a_file_that_has_not_changed_is_not_sent_again(page, path):
    headers, _ = await get(page, path)
    assert headers["cache-control"] == "no-cache"
    for tag, status in ((headers["etag"], "304"), (f"W/{headers['etag']}", "304"), ('"x"', "200")):
        again, body = await get(page, path, If_None_Match=f'{tag}, "y"')
        assert again["status"] == status
        assert bool(body) == (status == "200")


async def test_the_policy_allows_only_files_of_the_interface(page):
    headers, _ = await get(page, "/")
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}


async def test_the_page_has_no_inline_code_and_no_style(page):
    _, html = await get(page, "/")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert not re.search(r"<script(?![^>]* src=)", html)


@pytest.mark.parametrize("path", PATHS)
async def test_no_file_names_another_host(page, path):
    _, content = await get(page, path)
    named = re.findall(r"\bhttps?://[\w.]+", content)
    assert set(named) <= {"http://www.w3.org"}  # the name of SVG's namespace
    assert not re.search(r"[\"'(]//|@import|url\(", content)


@pytest.mark.parametrize("path", SCRIPTS)
async def test_no_script_makes_markup_or_code_of_text(page, path):
    _, script = await get(page, path)
    dangerous = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|Function\("
    )
    assert not re.search(dangerous, script)


@pytest.mark.parametrize("path", ["/", *SCRIPTS])
async def test_every_file_that_is_named_is_served(page, path):
    _, content = await get(page, path)
    imported = re.findall(r'(?:from|import\() ?"\./([a-z_]+\.js)"', content)
    linked = re.findall(r'(?:src|href)="(/page/[^"]+)"', content)
    assert {f"/page/{name}" for name in imported} | set(linked) <= set(PATHS)


def test_every_script_is_used():
    folder = resources.files("quictunnel.admin").joinpath("page")
    texts = {f.name: f.read_text("utf-8") for f in folder.iterdir()}
    for name in texts.keys() - {"index.html"}:
        others = "".join(text for other, text in texts.items() if other != name)
        assert re.search(rf'["/]{re.escape(name)}"', others), name


async def test_every_id_that_a_script_wants_is_in_the_page(page):
    _, html = await get(page, "/")
    ids = set(re.findall(r'\bid="([a-z-]+)"', html))
    wanted = set()
    for path in SCRIPTS:
        _, script = await get(page, path)
        wanted |= set(re.findall(r'byId\("([a-z-]+)"\)', script))
    assert wanted
    assert wanted <= ids


# An extension

RUNS: list[str] = []

EXTENSION = PageExtension(
    script="export function extend() {}  // mine",
    actions={"cut": lambda: RUNS.append("cut")},
    sources=("http://127.0.0.1:8000",),
)


@pytest.fixture
async def extended(serve):
    RUNS.clear()
    operations = action_operations(EXTENSION)
    return await serve(*page_routes(EXTENSION), *(each.route() for each in operations))


async def test_an_extension_has_its_script_and_may_ask_its_sources(extended):
    headers, script = await get(extended, "/page/extension.js")
    assert script == EXTENSION.script
    assert "connect-src 'self' http://127.0.0.1:8000;" in headers["content-security-policy"]


async def test_an_action_is_run_by_post_only(extended):
    path = "/api/v1/actions/cut"
    assert (await extended.request(path)).status == 405
    assert (await extended.command(path, Content_Type="text/plain")).status == 415
    assert RUNS == []
    assert (await extended.command(path)).status == 202
    assert RUNS == ["cut"]
