"""A client for HTTP/3 on aioquic's own asyncio client, without quictunnel's link.

It makes many requests over one connection. Bodies are kept in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ANSWER_WITHIN = 120.0
"""Seconds for a whole answer."""

WINDOW = 8 * 1024 * 1024
"""Bytes of credit, about as much as a browser gives."""


@dataclass
class Answer:
    """An answer, which may be incomplete."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.headers[":status"])


class Http3Client(QuicConnectionProtocol):
    """One connection.

    :param authority: the host and port of requests that name no other one.
    """

    def __init__(self, quic: QuicConnection, authority: str) -> None:
        super().__init__(quic)
        self._authority = authority
        self._http = H3Connection(quic)
        self._answers: dict[int, tuple[Answer, asyncio.Future[Answer]]] = {}

    async def ask(
        self, path: str, *, method: str = "GET", body: bytes = b"", authority: str | None = None
    ) -> Answer:
        """Send a request; return the complete answer.

        :param authority: the host and port to name, by default those of the connection.
        :raises ConnectionError: the stream was reset, or the connection ended.
        """
        stream = self._quic.get_next_available_stream_id()
        head = {
            ":method": method,
            ":scheme": "https",
            ":authority": authority or self._authority,
            ":path": path,
        }
        if body:
            head["content-length"] = str(len(body))
        headers = [(name.encode(), value.encode()) for name, value in head.items()]
        self._http.send_headers(stream, headers, end_stream=not body)
        if body:
            self._http.send_data(stream, body, end_stream=True)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[stream] = (Answer(), future)
        self.transmit()
        async with asyncio.timeout(ANSWER_WITHIN):
            return await future

    def quic_event_received(self, event: QuicEvent) -> None:
        """Handle an event of the connection."""
        if isinstance(event, ConnectionTerminated):
            for _, future in self._answers.values():
                future.set_exception(ConnectionError(f"HTTP/3: {event.reason_phrase}"))
            self._answers.clear()
        elif isinstance(event, StreamReset) and event.stream_id in self._answers:
            _, future = self._answers.pop(event.stream_id)
            future.set_exception(ConnectionResetError("HTTP/3: the stream was reset"))
        else:
            for part in self._http.handle_event(event):
                self._handle_part(part)

    def _handle_part(self, part: H3Event) -> None:
        if not isinstance(part, HeadersReceived | DataReceived):
            return
        if part.stream_id not in self._answers:
            return
        answer, future = self._answers[part.stream_id]
        if isinstance(part, HeadersReceived):
            answer.headers |= {name.decode(): value.decode() for name, value in part.headers}
        else:
            answer.body += part.data
        if part.stream_ended:
            del self._answers[part.stream_id]
            future.set_result(answer)


@contextlib.asynccontextmanager
async def connected(
    port: int,
    authority: Path,
    *,
    name: str = "localhost",
    to: str = "127.0.0.1",
    source: str = "127.0.0.1",
) -> AsyncIterator[Http3Client]:
    """Connect to a server on this host.

    :param authority: the certificate of its CA, in PEM.
    :param name: the server's name, for which it has a certificate.
    :param to: the address to connect to.
    :param source: the address to connect from.
    """
    settings = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        server_name=name,
        verify_mode=ssl.CERT_REQUIRED,
        max_data=WINDOW,
        max_stream_data=WINDOW,
    )
    settings.load_verify_locations(cafile=str(authority))
    quic = QuicConnection(configuration=settings)
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Http3Client(quic, f"{name}:{port}"), local_addr=(source, 0)
    )
    try:
        # aioquic expects a peer's address as the socket returns it, with four parts for IPv6.
        client.connect((to, port, 0, 0) if ":" in to else (to, port))
        await client.wait_connected()
        yield client
    finally:
        client.close()
        await client.wait_closed()
        transport.close()
