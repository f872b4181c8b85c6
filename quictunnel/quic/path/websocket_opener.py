"""Opens a WebSocket to the remote, directly or through a proxy."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed, ProtocolError
from quictunnel.escaping import cut_sentence
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.system_store import system_tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quictunnel.config.proxies import Proxy
    from quictunnel.config.urls import WebSocketUrl
    from quictunnel.quic.path.datagram_path import DatagramPath
    from quictunnel.quic.path.websocket_handshake import ClientOpening, UnexpectedResponse
    from quictunnel.quic.path.websocket_path import WebSocketPath
    from quictunnel.quic.path.websocket_proxy import Resolve

TIMEOUT = 10.0
"""Seconds for everything: names, the proxy, TLS, and the opening handshake."""

_ALPN = ["http/1.1"]
"""A server that also knows HTTP/2 must not choose it: a WebSocket would be opened differently."""


class WebSocketOpener:
    """Opens WebSockets to one URL. See `PathOpener`.

    :param url: where the remote's WebSocket is.
    :param resolve: returns the addresses of the server, or of the proxy.
    :param proxy: through which it is reached; None for a direct connection.
    :param ca_file: PEM file of authorities, one of which must have signed the certificate. With
        None, a certificate that does not verify with the system's authorities is only reported,
        because both ends prove themselves on the link inside.
    :param insecure: whether the certificate is not checked at all.
    :param on_unverified: is called once, with a sentence, if a certificate does not verify and is
        accepted nevertheless.
    """

    kind = PathKind.WEBSOCKET

    def __init__(
        self,
        *,
        url: WebSocketUrl,
        resolve: Resolve,
        proxy: Proxy | None = None,
        ca_file: Path | None = None,
        insecure: bool = False,
        on_unverified: Callable[[str], None] | None = None,
    ) -> None:
        self._url = url
        self._resolve = resolve
        self._proxy = proxy
        self._ca_file = ca_file
        self._insecure = insecure
        self._on_unverified = on_unverified
        self._was_unverified = False

    async def open(self) -> DatagramPath:
        """See `PathOpener`. It takes `TIMEOUT` at most.

        :raises LinkFailed: the WebSocket cannot be opened. The message is one sentence with what to
            check, and contains no password.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._open()
        except TimeoutError as exc:
            place = f" through the proxy {self._proxy}" if self._proxy is not None else ""
            raise LinkFailed(
                f"{self._url} did not answer{place} within {TIMEOUT:g} s: check that a firewall "
                "lets TCP to it pass"
            ) from exc

    async def _open(self) -> WebSocketPath:
        if self._url.scheme == "ws":
            return await self._connect(None)
        if self._ca_file is None and (self._insecure or self._was_unverified):
            return await self._connect(_unverifying_context())
        try:
            context = await asyncio.to_thread(_context, self._ca_file)
        except OSError as exc:
            if self._ca_file is not None:
                raise LinkFailed(
                    f"no authorities could be read from {self._ca_file}: {exc.strerror or exc}"
                ) from exc
            from quictunnel.quic.path.websocket_proxy import tls_reason  # noqa: PLC0415

            reason = f"no authorities could be read from the system's store: {tls_reason(exc)}"
        else:
            try:
                return await self._connect(context)
            except ssl.SSLCertVerificationError as exc:
                reason = cut_sentence(exc.verify_message)
        if self._ca_file is not None:
            raise LinkFailed(
                f"the certificate of {self._url} does not verify with {self._ca_file}: {reason}"
            )
        path = await self._connect(_unverifying_context())
        if not self._was_unverified:
            self._was_unverified = True
            if self._on_unverified is not None:
                self._on_unverified(
                    f"the certificate of {self._url} does not verify ({reason}): the link inside "
                    "is secure nevertheless, but something in between may see that it is a tunnel"
                )
        return path

    async def _connect(self, context: ssl.SSLContext | None) -> WebSocketPath:
        """Open a WebSocket.

        :param context: how TLS is used; None for none.
        :raises ssl.SSLCertVerificationError: the certificate does not verify.
        """
        # Links over UDP need neither these modules nor the libraries that they import.
        from quictunnel.quic.path.websocket_handshake import ClientOpening  # noqa: PLC0415
        from quictunnel.quic.path.websocket_path import WebSocketPath  # noqa: PLC0415
        from quictunnel.quic.path.websocket_proxy import (  # noqa: PLC0415
            connect_directly,
            connect_through,
        )

        server = self._url.server
        if self._proxy is None:
            connection = await connect_directly(server, self._resolve)
        else:
            connection = await connect_through(self._proxy, server, self._resolve)
        transport = connection.transport
        try:
            if context is not None:
                transport = await self._start_tls(transport, context)
            opening = ClientOpening(self._url)
            received = await self._ask(transport, opening)
            return WebSocketPath(transport, tcp=connection.tcp, is_client=True, received=received)
        except BaseException:
            transport.abort()
            raise

    async def _start_tls(
        self, transport: asyncio.Transport, context: ssl.SSLContext
    ) -> asyncio.Transport:
        from quictunnel.quic.path.websocket_proxy import start_tls, tls_reason  # noqa: PLC0415

        try:
            return await start_tls(transport, context, self._url.server.host)
        except ssl.SSLCertVerificationError:
            raise
        except OSError as exc:
            raise LinkFailed(
                f"TLS with {self._url.server} failed ({tls_reason(exc)}): the port has no TLS, or "
                "something in between breaks it"
            ) from exc

    async def _ask(self, transport: asyncio.Transport, opening: ClientOpening) -> bytes:
        """Perform the opening handshake. Return the bytes after it."""
        from quictunnel.quic.path.head_exchange import HeadExchange  # noqa: PLC0415
        from quictunnel.quic.path.websocket_handshake import UnexpectedResponse  # noqa: PLC0415
        from quictunnel.quic.path.websocket_proxy import why  # noqa: PLC0415

        exchange = transport.get_protocol()
        assert isinstance(exchange, HeadExchange)
        try:
            head, received = await exchange.ask(transport, opening.request())
            opening.check(head)
        except UnexpectedResponse as exc:
            raise LinkFailed(self._why_not_opened(exc)) from exc
        except (OSError, ProtocolError) as exc:
            raise LinkFailed(f"{self._url} does not answer with HTTP: {why(exc)}") from exc
        return received

    def _why_not_opened(self, exc: UnexpectedResponse) -> str:
        if exc.status == 404:
            return f"the remote's WebSocket is not at {self._url} (status 404): check the path"
        if exc.status == 0:
            return f"{self._url} opens no WebSocket: {exc}"
        return (
            f"{self._url} opens no WebSocket (status {exc.status}): check what serves it, and "
            "whether it passes WebSockets on"
        )


def _context(ca_file: Path | None) -> ssl.SSLContext:
    """Return settings that check certificates.

    :raises OSError: the authorities cannot be read.
    """
    if ca_file is None:
        context = system_tls_context()
    else:
        context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(_ALPN)
    return context


def _unverifying_context() -> ssl.SSLContext:
    """Return settings that accept any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(_ALPN)
    return context
