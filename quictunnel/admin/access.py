"""Refuses requests that a web page of another site may have caused.

A browser sends requests to any address that a page names, also to addresses that only this machine
or its network can reach. Two attacks matter here. In a cross-site request, a page sends requests to
this address. With DNS rebinding, a page reads answers through a name that it has pointed here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from quictunnel.admin.operations import error_response
from quictunnel.config.addresses import is_loopback

WRONG_HOST = "the admin interface answers only to addresses of this machine and to localhost"

WRONG_HOST_WITH_TOKEN = (
    "the admin interface answers only to IP addresses, to localhost and to the host of --admin"  # noqa: S105 - a sentence
)

CROSS_SITE = "the request comes from a web page of another site"

_LOCALHOST = "localhost"


class SameSite:
    """Passes on requests of programs and of the interface's own pages.

    - The Host header must name an accepted host. It names the attacker's if DNS is rebound.
    - The Origin header, if there is one, must name the same host and port.
    - Sec-Fetch-Site, if there is one, must say that no other site is involved, unless a person has
      followed a link to a page.

    :param accepts_host: returns whether a host, without its port, is accepted.
    :param wrong_host: the sentence for another host.
    """

    def __init__(
        self, app: ASGIApp, accepts_host: Callable[[str], bool], wrong_host: str = WRONG_HOST
    ) -> None:
        self._app = app
        self._accepts_host = accepts_host
        self._wrong_host = wrong_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._accepts_host(host_of(hosts[0])):
            await error_response(self._wrong_host, 421)(scope, receive, send)
        elif not (_has_own_origin(scope, hosts[0]) and _is_fetched_by_own_page(scope)):
            await error_response(CROSS_SITE, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_local(host: str) -> bool:
    """Return whether a host is this machine: `localhost`, 127.0.0.1 or [::1]."""
    return host.lower() == _LOCALHOST or is_loopback(_without_brackets(host))


def is_local_or_address(host: str, configured: str) -> bool:
    """Return whether a host is `localhost`, an IP address or the configured host.

    DNS rebinding needs a name, so a page cannot use an address for it.
    """
    if host.lower() in {_LOCALHOST, configured.lower()}:
        return True
    try:
        ipaddress.ip_address(_without_brackets(host))
    except ValueError:
        return False
    return True


def host_of(authority: str) -> str:
    """Return the host of a Host header, as it is there; nothing if the header is malformed.

    The port is not checked: a proxy or a forwarded port may have another one.
    """
    name, colon, port = authority.rpartition(":")
    if colon and "]" not in port:
        return name if port.isascii() and port.isdecimal() and _is_host(name) else ""
    return authority if _is_host(authority) else ""


def _is_host(name: str) -> bool:
    """Return whether a text is a name, an IPv4 address, or an IPv6 address in brackets."""
    return ":" not in name or (name.startswith("[") and name.endswith("]"))


def _without_brackets(host: str) -> str:
    is_bracketed = host.startswith("[") and host.endswith("]")
    inside = host[1:-1] if is_bracketed else host
    return inside if is_bracketed == (":" in inside) else ""


def _has_own_origin(scope: Scope, host: str) -> bool:
    """Return whether the request has no Origin header, or one with its own host and port."""
    origins = _values(scope, b"origin")
    return not origins or (
        len(origins) == 1
        and origins[0].lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}
    )


def _is_fetched_by_own_page(scope: Scope) -> bool:
    """Return whether a browser says that no other site has caused the request (Fetch Metadata).

    Other clients send no such header. A person who follows a link from another site gets a page:
    the request navigates the whole window, and the other site cannot read it.
    """
    sites = set(_values(scope, b"sec-fetch-site"))
    if sites <= {"same-origin", "none"}:
        return True
    return (
        scope["method"] == "GET"
        and _values(scope, b"sec-fetch-mode") == ["navigate"]
        and _values(scope, b"sec-fetch-dest") == ["document"]
    )


def _values(scope: Scope, name: bytes) -> list[str]:
    """Return the values of a header."""
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    return [value.decode("latin-1") for key, value in headers if key == name]
