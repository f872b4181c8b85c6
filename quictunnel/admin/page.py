"""Serves the live page of a role.

The files in `page/` are served as they are: HTML, CSS and JavaScript modules, which need nothing
from another host. The page reads the API. It never inserts a peer's text as markup, and its policy
(CSP with Trusted Types) makes the browser refuse an attempt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quictunnel.admin.extension import PageExtension

FOLDER = "/page/"
"""The folder of the page's files, except for the page itself."""

_PAGE = "index.html"

_EXTENSION = "extension.js"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""Content types by the end of the file's name. Other files are not served."""


def page_routes(extension: PageExtension | None) -> list[Route]:
    """Return the routes of the page and its files.

    :param extension: a part that the program adds.
    """
    files = _files()
    sources: Sequence[str] = ()
    if extension is not None:
        files[_EXTENSION] = extension.script.encode()
        sources = extension.sources
    policy = _policy(sources)
    return [_file(name, content, policy) for name, content in files.items()]


def _files() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    folder = resources.files("quictunnel.admin").joinpath("page")
    return {file.name: file.read_bytes() for file in folder.iterdir() if _kind(file.name) in _TYPES}


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _policy(sources: Sequence[str]) -> str:
    """Return the Content-Security-Policy: only files of this interface, and no inline code."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            " ".join(["connect-src 'self'", *sources]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _file(name: str, content: bytes, policy: str) -> Route:
    """Return the route of a file."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",  # the browser keeps it, but asks whether it has changed
        "ETag": etag,
    }

    async def serve(request: Request) -> Response:
        if etag in _known(request):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers | {"Content-Type": _TYPES[_kind(name)]})

    return Route("/" if name == _PAGE else FOLDER + name, serve, methods=["GET"])


def _known(request: Request) -> list[str]:
    """Return the entity tags that the browser has (RFC 9110, section 13.1.2)."""
    tags = request.headers.get("if-none-match", "").split(",")
    return [tag.strip().removeprefix("W/") for tag in tags]
