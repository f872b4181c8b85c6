"""The remote's WebSocket as the attempts of one origin see it: what opens it, and when not to.

An origin without a link tries UDP up to several times a second, which costs a few datagrams. To
open a WebSocket costs the server in front of the remote a TLS handshake and a line in its log.
After a failure, attempts therefore leave the WebSocket out for a while.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from quictunnel.events import EventSink, WebSocketUnverified
from quictunnel.quic.path.websocket_opener import WebSocketOpener
from quictunnel.session.resolver import resolve

if TYPE_CHECKING:
    from quictunnel.config.proxies import Proxy
    from quictunnel.config.settings import OriginSettings
    from quictunnel.config.urls import WebSocketUrl
    from quictunnel.quic.path.datagram_path import PathOpener

FIRST_PAUSE = 0.5
"""Seconds from a first failure to the next opening."""

MAX_PAUSE = 4.0
"""Seconds between two openings at most, counted from the failure of the first one."""


class RemoteWebSocket:
    """The remote's WebSocket.

    :param opener: opens it.
    :param url: its URL, for errors.
    :param proxy: the proxy in front of it, for errors; None for none.
    """

    def __init__(self, opener: PathOpener, url: WebSocketUrl, proxy: Proxy | None = None) -> None:
        self.opener = opener
        self.url = url
        self.proxy = proxy
        self._pause = 0.0
        self._due_at = 0.0
        self._failure = ""

    @property
    def recent_failure(self) -> str | None:
        """The last failure, if it is so recent that an attempt should leave the WebSocket out."""
        is_due = asyncio.get_running_loop().time() >= self._due_at
        return None if is_due else self._failure

    def record_failure(self, reason: str) -> None:
        """Leave the WebSocket out of the attempts for a while, longer after each failure."""
        self._failure = reason
        self._pause = min(max(FIRST_PAUSE, 2 * self._pause), MAX_PAUSE)
        self._due_at = asyncio.get_running_loop().time() + self._pause

    def reset(self) -> None:
        """Allow an opening at once: the last one succeeded, or the network has changed."""
        self._pause = self._due_at = 0.0


def remote_websocket(settings: OriginSettings, emit: EventSink) -> RemoteWebSocket | None:
    """Return the WebSocket of an origin's settings, or None if it uses none.

    :param emit: receives `WebSocketUnverified`, at most once.
    """
    url = settings.websocket_url
    if url is None:
        return None
    opener = WebSocketOpener(
        url=url,
        resolve=resolve,
        proxy=settings.proxy,
        ca_file=settings.websocket_ca,
        insecure=settings.insecure_websocket,
        on_unverified=lambda reason: emit(WebSocketUnverified(reason)),
    )
    return RemoteWebSocket(opener, url, settings.proxy)
