"""Check: Caddy in front of the remote, by its admin API, and the URL that it asks about names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import h11
import msgspec

from quictunnel.config.addresses import (
    ADMIN_PORT,
    ASK_PATH,
    LOOPBACK_ADDRESS,
    HostPort,
    parse_target,
)
from quictunnel.config.settings import RemoteSettings
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok, skipped, warning
from quictunnel.doctor.local_http import get
from quictunnel.doctor.probe_socket import tcp_answers
from quictunnel.errors import SettingsError
from quictunnel.escaping import cut_sentence

ADMIN_API = HostPort("localhost", 2019)
"""Caddy's default address of its admin API."""

HTTPS_PORT = 443

_EXAMPLE = f"{LOOPBACK_ADDRESS}:{ADMIN_PORT}"

_LOCAL = ("localhost", "127.0.0.1", "::1")

_MAX_DEPTH = 64
"""Levels of Caddy's configuration that are searched. It has about ten."""


class CaddyInFront(Check):
    """Looks for Caddy on this machine, for a remote whose settings are made for it.

    :param admin_api: where Caddy's admin API is.
    """

    title = "Caddy"
    time_limit = 10.0

    def __init__(self, settings: RemoteSettings, admin_api: HostPort = ADMIN_API) -> None:
        self._settings = settings
        self._admin_api = admin_api

    async def run(self) -> list[Finding]:
        """Read Caddy's configuration, and compare its `ask` with the remote's admin interface."""
        try:
            status, body = await get(self._admin_api, "/config/")
        except (OSError, h11.RemoteProtocolError):
            return [await self._without_api()]
        if status != 200:
            sentence = f"its admin API at {self._admin_api} answers with status {status}"
            return [skipped(self.title, sentence, "look at 'admin' in the Caddyfile")]
        try:
            config = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            sentence = f"what answers at {self._admin_api} is not Caddy's admin API"
            return [skipped(self.title, sentence)]
        return [
            ok(self.title, "it runs, and its admin API answers"),
            *await self._check_ask(config),
        ]

    async def _without_api(self) -> Finding:
        if await tcp_answers("127.0.0.1", HTTPS_PORT, 1.0):
            return ok(
                self.title,
                f"a server answers at port {HTTPS_PORT}; Caddy's admin API does not, so nothing "
                "more is known",
            )
        return warning(
            self.title,
            f"neither Caddy's admin API at {self._admin_api} nor port {HTTPS_PORT} answers",
            "start Caddy ('systemctl status caddy' says why it does not run); clients reach this "
            "remote through it",
        )

    async def _check_ask(self, config: object) -> list[Finding]:
        """Return the findings about on-demand certificates, if they are in use."""
        title, admin = "Caddy's ask", self._settings.admin
        endpoints = list(_endpoints(config))
        if not endpoints:
            return []
        own = f"http://{admin or _EXAMPLE}{ASK_PATH}"
        if admin is None:
            advice = f"start the remote with --admin {_EXAMPLE}, or correct 'ask'"
            sentence = f"Caddy asks {endpoints[0]}, and this remote has no admin interface"
            ours = any(ASK_PATH in endpoint for endpoint in endpoints)
            return [failed(title, sentence, advice)] if ours else []
        if not any(_is_at(endpoint, admin) for endpoint in endpoints):
            sentence = f"Caddy asks {endpoints[0]}, and the remote answers at {own}"
            return [failed(title, sentence, f"write 'ask {own}' in the Caddyfile, and reload it")]
        try:
            status, body = await get(admin, f"{ASK_PATH}?domain=doctor.invalid")
        except (OSError, h11.RemoteProtocolError):
            return [skipped(title, f"nothing answers at {own} yet", "start the remote")]
        if status in (200, 404):
            return [ok(title, f"{own} answers")]
        text = cut_sentence(body.decode(errors="replace").strip())
        return [failed(title, f"{own} answers with status {status}: {text}", "look at its log")]


def _endpoints(config: object, depth: int = 0) -> Iterator[str]:
    """Yield the URLs that Caddy asks before it requests a certificate on demand."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(config, dict):
        for key, value in config.items():
            if key == "on_demand" and isinstance(value, dict):
                yield from _urls(value)
            yield from _endpoints(value, depth + 1)
    elif isinstance(config, list):
        for value in config:
            yield from _endpoints(value, depth + 1)


def _urls(on_demand: dict[str, Any]) -> Iterator[str]:
    permission = on_demand.get("permission")
    endpoint = permission.get("endpoint") if isinstance(permission, dict) else None
    for url in (on_demand.get("ask"), endpoint):  # before and after Caddy 2.8
        if isinstance(url, str):
            yield cut_sentence(url)


def _is_at(url: str, admin: HostPort) -> bool:
    """Return whether a URL leads to the admin interface."""
    try:
        place = parse_target(urlsplit(url).netloc, 80)
    except (SettingsError, ValueError):
        return False
    is_local = place.host in _LOCAL and admin.host in _LOCAL
    return place.port == admin.port and (is_local or place.host == admin.host)
