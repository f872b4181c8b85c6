"""TCP connections to a WebSocket's server: direct ones, and those through a proxy.

A proxy is one for HTTP CONNECT (RFC 9110, section 9.3.6), also over TLS, or SOCKS version 5
(RFC 1928).
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from quictunnel.config.addresses import HostPort
from quictunnel.errors import LinkFailed, ProtocolError
from quictunnel.escaping import cut_sentence
from quictunnel.quic.happy_eyeballs import first_to_succeed
from quictunnel.quic.path.head_exchange import HeadExchange
from quictunnel.quic.path.websocket_handshake import status_of
from quictunnel.quic.path.websocket_path import prepare_connection
from quictunnel.quic.system_store import system_tls_context

if TYPE_CHECKING:
    from quictunnel.config.proxies import Proxy

Resolve: TypeAlias = Callable[[HostPort], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a host, best first. Raises OSError or UnicodeError if it cannot."""

_CHECK_PROXY = "check the proxy's URL"

_SOCKS_TIMEOUT = 60
"""Seconds. The caller's deadline is shorter."""

_NO_METHOD = "No acceptable authentication methods were offered"
_WRONG_LOGIN = "Username and password authentication failure"
"""Messages of python_socks: a proxy wants a password, or rejects one. They have no codes."""

_NOT_ALLOWED, _COMMAND = 2, 7
"""Codes of SOCKS (RFC 1928, section 6). The others below the second say that it cannot connect."""


class Connection(NamedTuple):
    """A connection to a server, directly or through a proxy."""

    transport: asyncio.Transport
    """The transport of TLS with the proxy if there is any, otherwise `tcp`."""

    tcp: asyncio.Transport
    """The transport of the TCP connection."""


async def connect_directly(server: HostPort, resolve: Resolve) -> Connection:
    """Return a TCP connection.

    :raises LinkFailed: there is none.
    """
    tcp = await _connect(server, resolve, str(server), "check the name")
    return Connection(tcp, tcp)


async def connect_through(proxy: Proxy, server: HostPort, resolve: Resolve) -> Connection:
    """Return a connection to a server through a proxy.

    :raises LinkFailed: there is none. The message contains no password.
    """
    if proxy.scheme in ("socks5", "socks5h"):
        tcp = await _connect_with_socks(proxy, server, resolve)
        return Connection(tcp, tcp)
    # The context takes time, in which a connection would already receive what the proxy sends.
    context = await _proxy_context(proxy) if proxy.scheme == "https" else None
    tcp = transport = await _connect(proxy.server, resolve, f"the proxy {proxy}", _CHECK_PROXY)
    try:
        if context is not None:
            transport = await _start_tls_with_proxy(transport, context, proxy)
        await _request_tunnel(transport, proxy, server)
    except BaseException:
        transport.abort()
        raise
    return Connection(transport, tcp)


def why(exc: Exception) -> str:
    """Return what an error of the system says, without its number."""
    return cut_sentence(getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)


async def _connect(server: HostPort, resolve: Resolve, name: str, advice: str) -> asyncio.Transport:
    """Return a TCP connection to the first address of a host that accepts one."""

    async def attempt(address: str) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(HeadExchange, address, server.port)
        return transport

    addresses = await _resolve(server, resolve, advice)
    try:
        transport = await first_to_succeed(
            [partial(attempt, address) for address in addresses],
            discard=lambda other: other.abort(),
        )
    except ExceptionGroup as group:
        raise _unreachable(group, name) from group
    prepare_connection(transport)
    return transport


async def _resolve(host: HostPort, resolve: Resolve, advice: str) -> Sequence[str]:
    try:
        return await resolve(host)
    except (OSError, UnicodeError) as exc:
        raise LinkFailed(f"the name {host.host} does not resolve ({why(exc)}): {advice}") from exc


def _unreachable(group: ExceptionGroup[Exception], name: str) -> Exception:
    """Return the error for TCP connections that failed at all addresses of a host."""
    errors = [exc for exc in group.exceptions if isinstance(exc, OSError)]
    if len(errors) < len(group.exceptions):
        return group  # a bug
    codes = {exc.errno for exc in errors if exc.errno}
    if codes == {errno.ECONNREFUSED}:
        return LinkFailed(f"{name} refuses TCP connections")
    reasons = " and ".join(sorted(os.strerror(code).lower() for code in codes))
    return LinkFailed(f"{name} cannot be reached: {reasons or why(errors[0])}")


async def _proxy_context(proxy: Proxy) -> ssl.SSLContext:
    """Return settings that check the certificate of a proxy, which gets a password.

    :raises LinkFailed: the system's authorities cannot be read.
    """
    try:
        return await asyncio.to_thread(system_tls_context)
    except OSError as exc:
        raise LinkFailed(
            f"the certificate of the proxy {proxy} cannot be checked: no authorities could be read "
            f"from the system's store ({tls_reason(exc)})"
        ) from exc


async def _start_tls_with_proxy(
    transport: asyncio.Transport, context: ssl.SSLContext, proxy: Proxy
) -> asyncio.Transport:
    """Return a TLS connection with a proxy."""
    try:
        secure = await start_tls(transport, context, proxy.server.host)
    except ssl.SSLCertVerificationError as exc:
        raise LinkFailed(
            f"the certificate of the proxy {proxy} does not verify: "
            f"{cut_sentence(exc.verify_message)}"
        ) from exc
    except OSError as exc:
        raise LinkFailed(
            f"TLS with the proxy {proxy} failed ({tls_reason(exc)}): write http:// if it has no TLS"
        ) from exc
    if sys.version_info < (3, 13):
        # asyncio's own method raises TypeError when TLS inside this TLS fails.
        setattr(secure, "_force_close", lambda _: transport.abort())  # noqa: B010 - mypy
    return secure


async def start_tls(
    transport: asyncio.Transport, context: ssl.SSLContext, host: str
) -> asyncio.Transport:
    """Return a TLS connection over a transport, whose protocol is a new `HeadExchange`.

    :param host: the name in the certificate, or an IP address.
    :raises OSError: TLS failed. This includes `ssl.SSLError`.
    """
    try:
        secure = await asyncio.get_running_loop().start_tls(
            transport,
            HeadExchange(),
            context,
            server_hostname=host.partition("%")[0].removesuffix("."),
        )
    except ConnectionResetError as exc:
        if exc.args:
            raise
        secure = None  # asyncio gives no reason for an end of file
    if secure is None:  # asyncio raises nothing if the TLS below was closed
        raise ConnectionResetError("the connection was closed")
    prepare_connection(secure)
    return secure


def tls_reason(exc: OSError) -> str:
    """Return why a TLS handshake failed, in OpenSSL's words."""
    reason = getattr(exc, "reason", None)
    return cut_sentence(reason.replace("_", " ").lower()) if isinstance(reason, str) else why(exc)


async def _request_tunnel(transport: asyncio.Transport, proxy: Proxy, server: HostPort) -> None:
    """Send CONNECT, and check the response. The next exchange is another one."""
    exchange = transport.get_protocol()
    assert isinstance(exchange, HeadExchange)
    try:
        head, rest = await exchange.ask(transport, _connect_request(proxy, server))
    except (OSError, ProtocolError) as exc:
        raise LinkFailed(f"the proxy {proxy} does not answer CONNECT: {why(exc)}") from exc
    status = status_of(head)
    if not 200 <= status < 300:
        raise LinkFailed(_why_no_tunnel(status, proxy, server))
    if rest:
        raise LinkFailed(f"the proxy {proxy} sent data before the connection was used")
    transport.set_protocol(HeadExchange())
    transport.resume_reading()


def _connect_request(proxy: Proxy, server: HostPort) -> bytes:
    lines = [f"CONNECT {server} HTTP/1.1", f"Host: {server}"]
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")  # RFC 7617
    return "\r\n".join([*lines, "", ""]).encode()


def _why_no_tunnel(status: int, proxy: Proxy, server: HostPort) -> str:
    if status in (401, 407) and proxy.user:  # tinyproxy rejects a password with 401
        return f"the proxy {proxy} rejects the user name or the password, or wants more than Basic"
    if status == 407:
        return f"the proxy {proxy} asks for a user name and a password: add them to its URL"
    if status in (502, 503, 504):
        return f"the proxy {proxy} cannot reach {server} (status {status})"
    if status == 0:
        return f"the proxy {proxy} does not speak HTTP: check its URL"
    return f"the proxy {proxy} refuses a connection to {server} (status {status})"


async def _connect_with_socks(
    proxy: Proxy, server: HostPort, resolve: Resolve
) -> asyncio.Transport:
    """Return a connection through the first address of a proxy that answers."""
    from python_socks import (  # noqa: PLC0415 - few links use it
        ProxyConnectionError,
        ProxyError,
        ProxyType,
    )
    from python_socks.async_.asyncio import Proxy as SocksProxy  # noqa: PLC0415

    if not (proxy.user + proxy.password).isascii():
        raise LinkFailed(
            "the proxy's user name or password has letters beyond ASCII, for which SOCKS has no "
            "encoding"
        )
    host = server.host
    if proxy.scheme == "socks5":
        host = await _resolve_for_socks(server, resolve, proxy)

    async def attempt(address: str) -> socket.socket | Exception:
        """Return a connected socket, or the error of a proxy that was reached."""
        dialled = SocksProxy(
            ProxyType.SOCKS5,
            address,
            proxy.server.port,
            proxy.user or None,
            proxy.password if proxy.user else None,
            rdns=True,
        )
        try:
            return await dialled.connect(host, server.port, timeout=_SOCKS_TIMEOUT)
        except ProxyConnectionError:
            raise
        except (ProxyError, OSError, ValueError) as exc:
            return exc  # its other addresses would give the same answer

    addresses = await _resolve(proxy.server, resolve, _CHECK_PROXY)
    try:
        result = await first_to_succeed(
            [partial(attempt, address) for address in addresses], discard=_discard
        )
    except ExceptionGroup as group:
        raise _unreachable(group, f"the proxy {proxy}") from group
    if isinstance(result, ProxyError):
        reason = _why_no_socks(str(result), result.error_code, proxy, server)
        raise LinkFailed(reason) from result
    if isinstance(result, Exception):
        raise LinkFailed(
            f"the proxy {proxy} does not speak SOCKS version 5: {why(result)}"
        ) from result
    transport, _ = await asyncio.get_running_loop().create_connection(HeadExchange, sock=result)
    prepare_connection(transport)
    return transport


async def _resolve_for_socks(server: HostPort, resolve: Resolve, proxy: Proxy) -> str:
    """Return an address of a server: with `socks5`, this end resolves names."""
    try:
        return (await resolve(server))[0]
    except (OSError, UnicodeError) as exc:
        other = str(proxy).replace("socks5://", "socks5h://")
        raise LinkFailed(
            f"the name {server.host} does not resolve here: with {other} the proxy resolves it"
        ) from exc


def _discard(result: socket.socket | Exception) -> None:
    if isinstance(result, socket.socket):
        result.close()


def _why_no_socks(message: str, code: int | None, proxy: Proxy, server: HostPort) -> str:
    if message == _NO_METHOD and not (proxy.user and proxy.password):
        return f"the proxy {proxy} asks for a user name and a password: add them to its URL"
    if message in (_NO_METHOD, _WRONG_LOGIN):
        return f"the proxy {proxy} rejects the user name or the password"
    if code == _NOT_ALLOWED:
        return f"the proxy {proxy} refuses a connection to {server}"
    if code is not None and code < _COMMAND:
        return f"the proxy {proxy} cannot reach {server} ({cut_sentence(message).lower()})"
    return f"the proxy {proxy} does not open a connection: {cut_sentence(message).lower()}"
