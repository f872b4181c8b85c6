"""Checks whether an origin server works: connects to it, or requests a URL.

It connects directly, so a check is no client of the tunnel.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl

import h11

from quictunnel import __version__
from quictunnel.config.addresses import HostPort
from quictunnel.config.files import why
from quictunnel.config.ports import AUTO
from quictunnel.config.services import ServiceSettings
from quictunnel.config.urls import HttpUrl
from quictunnel.origin.exposed_service import HEADER_ENCODERS
from quictunnel.origin.health import CheckFailed
from quictunnel.origin.upstream import Upstream
from quictunnel.protocol.preamble import Preamble
from quictunnel.quic.system_store import system_tls_context
from quictunnel.relay.tcp_options import send_fin_at_close

MAX_HEAD = 16 * 1024
"""Bytes of the longest response head, which servers do not exceed either."""

_READ_SIZE = 4096

_HEALTHY = range(200, 400)
"""Statuses of a server that works. A redirect counts, and is not followed."""

_MAX_DETAIL = 120
"""Characters of a parser's error that are reported. The error may quote the server."""


class HealthProbe:
    """Checks the origin server of one service, as often as it is asked to.

    :param service: the service, which has a check.
    """

    def __init__(self, service: ServiceSettings) -> None:
        assert service.check is not None
        self._timeout = service.check.timeout
        self._url = service.check.url
        self._header = b"" if self._url is None else _header(service, self._url.server)
        self._upstream = Upstream(service.target if self._url is None else self._url.server)

    async def run(self) -> None:
        """Check once.

        :raises CheckFailed: the server does not work, or not in time.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._check()
        except TimeoutError:
            raise CheckFailed(f"no answer within {self._timeout:g} s") from None
        except ssl.SSLCertVerificationError as exc:
            raise CheckFailed(f"certificate not accepted: {exc.verify_message}") from exc
        except ssl.SSLError as exc:
            raise CheckFailed(f"TLS failed: {exc.reason or 'the connection was closed'}") from exc
        except OSError as exc:
            raise CheckFailed(_describe(exc)) from exc
        except h11.RemoteProtocolError as exc:
            raise CheckFailed(f"no valid HTTP response: {str(exc)[:_MAX_DETAIL]}") from exc

    async def _check(self) -> None:
        """Connect, and request the URL if there is one.

        :raises CheckFailed: the server answers with a status of an error.
        """
        sock = await self._upstream.open_socket()
        send_fin_at_close(sock)  # a server may log a reset as an error
        if self._url is None:
            sock.close()
            return
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            status = await _request(self._url, self._header, reader, writer)
        finally:
            writer.transport.abort()
        if status not in _HEALTHY:
            raise CheckFailed(f"HTTP status {status}")


async def _request(
    url: HttpUrl, header: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> int:
    """Request a URL, and return the status of the response.

    :param header: the bytes that the server expects before anything else.
    :raises h11.RemoteProtocolError: there is no response, or its head is not valid or too long.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    request = h11.Request(
        method="GET",
        target=url.path,
        headers=[
            ("Host", url.authority),
            ("User-Agent", f"quictunnel/{__version__}"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    writer.write(header)
    if url.scheme == "https":
        await writer.start_tls(_tls_context(), server_hostname=url.server.host)
    writer.write(connection.send(request) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    return await _read_status(reader, connection)


async def _read_status(reader: asyncio.StreamReader, connection: h11.Connection) -> int:
    """Return the status of the response, without its content.

    :raises h11.RemoteProtocolError: there is no response, or its head is not valid or too long.
    """
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_SIZE))
        elif isinstance(event, h11.Response):
            return event.status_code
        # Informational responses (RFC 9110, section 15.2) come before it.


def _header(service: ServiceSettings, server: HostPort) -> bytes:
    """Return the PROXY protocol header for a connection that no client has caused.

    It is empty if the server is none of the service's origin servers, which expect one.
    """
    target, ports = service.target, service.ports
    size = 1 if ports is None or ports == AUTO else ports.size
    is_own = (
        isinstance(target, HostPort)
        and server.host == target.host
        and target.port <= server.port < target.port + size
    )
    return HEADER_ENCODERS[service.proxy_protocol](Preamble()) if is_own else b""


def _describe(exc: OSError) -> str:
    if isinstance(exc, socket.gaierror):
        return f"its name does not resolve: {exc.strerror}"
    if exc.errno:
        # asyncio replaces the system's description.
        return why(OSError(exc.errno, os.strerror(exc.errno)))
    return str(exc) or "the connection was closed"


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Return the settings of TLS, with the system's authorities."""
    return system_tls_context()
