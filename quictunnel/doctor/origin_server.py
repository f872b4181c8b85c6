"""Check: an origin server accepts connections, and expects the PROXY protocol header it gets.

It sends one request of HTTP/1.0 on each of at most three connections. Servers of other protocols
answer it with an error, or close the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.config.files import why
from quictunnel.config.services import ProxyProtocol, ServiceSettings
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok
from quictunnel.origin.exposed_service import HEADER_ENCODERS
from quictunnel.origin.health import CheckFailed
from quictunnel.origin.health_probe import HealthProbe
from quictunnel.origin.upstream import Upstream
from quictunnel.protocol.preamble import Preamble
from quictunnel.relay.tcp_options import send_fin_at_close

CONNECT_TIMEOUT = 5.0
"""Seconds to connect."""

BANNER_TIMEOUT = 0.4
"""Seconds in which a server that speaks first, such as SSH, does so."""

ANSWER_TIMEOUT = 2.0
"""Seconds for the answer to a request."""

REQUEST = b"HEAD / HTTP/1.0\r\n\r\n"
"""The shortest request. It needs no Host header."""

ANSWER_BYTES = 64
"""Bytes of an answer that are read."""

_TLS_ALERT = b"\x15\x03"
_BAD_REQUEST = b" 400"


class Reaction(enum.IntEnum):
    """The reaction of a server to a header and a request, from worst to best."""

    CLOSED = 0
    """It closes the connection without a byte."""
    SILENT = 1
    """It sends nothing, and waits."""
    COMPLAINT = 2
    """It says that the request is malformed, or that it wants TLS."""
    ANSWER = 3
    """It answers, or speaks first."""


class OriginServer(Check):
    """Connects to the origin server of one service.

    :param service: the service. Of a range of ports, the first one is checked.
    """

    time_limit = CONNECT_TIMEOUT + 3 * (CONNECT_TIMEOUT + ANSWER_TIMEOUT) + 65.0

    def __init__(self, service: ServiceSettings) -> None:
        self.title = f"origin server {service.target}"
        self._service = service
        self._upstream = Upstream(service.target)

    async def run(self) -> list[Finding]:
        """Connect, run the service's own check if it has one, and try the PROXY protocol."""
        try:
            (await self._connect()).close()
        except TimeoutError:
            sentence = f"no answer within {CONNECT_TIMEOUT:g} s"
            return [failed(self.title, sentence, "check its address, and the firewall in front")]
        except OSError as exc:
            return [failed(self.title, *_explain(exc, self._service.target))]
        if self._service.check is not None:
            try:
                await HealthProbe(self._service).run()
            except CheckFailed as exc:
                advice = "look at the server's log, or correct the service's 'check'"
                return [failed(self.title, f"its health check fails: {exc}", advice)]
        return [await self._try_proxy_protocol()]

    async def _try_proxy_protocol(self) -> Finding:
        """Compare what the server does with the header that it gets, and with others."""
        used: ProxyProtocol = self._service.proxy_protocol
        good = ok(self.title, f"it accepts connections, and answers {_with(used)}")
        with_used, to_header = await self._react(used)
        # A server that does not know the header may answer it as a malformed request.
        is_doubtful = used != "off" and to_header
        if with_used is Reaction.ANSWER and not is_doubtful:
            return good
        others: tuple[ProxyProtocol, ...] = ("v2", "v1") if used == "off" else ("off",)
        for other in others:
            reaction, speaks_first = await self._react(other)
            if is_doubtful and reaction is Reaction.ANSWER and not speaks_first:
                return self._mismatch(used, other)
            if reaction >= Reaction.COMPLAINT and reaction > with_used:
                return self._mismatch(used, other)
        if with_used is Reaction.ANSWER:
            return good
        return ok(
            self.title,
            f"it accepts connections; whether it expects the PROXY protocol cannot be told "
            f"(--proxy-protocol is {used})",
        )

    def _mismatch(self, used: ProxyProtocol, other: ProxyProtocol) -> Finding:
        if other == "off":
            return failed(
                self.title,
                f"it does not understand the PROXY protocol header that --proxy-protocol {used} "
                "sends, and answers without it",
                "leave --proxy-protocol out, or configure the server to expect the header (nginx: "
                "listen ... proxy_protocol)",
            )
        return failed(
            self.title,
            "it waits for a PROXY protocol header, which this service does not send",
            f'add --proxy-protocol {other} (in a file: proxy-protocol = "{other}"), or configure '
            "the server not to expect one",
        )

    async def _react(self, version: ProxyProtocol) -> tuple[Reaction, bool]:
        """Send a header of this version and a request; return what the server does.

        Return also whether it does so before the request.
        """
        header = HEADER_ENCODERS[version](Preamble())
        try:
            sock = await self._connect()
        except OSError:  # includes TimeoutError
            return Reaction.CLOSED, True
        with contextlib.closing(sock):
            return await _talk(sock, header)

    async def _connect(self) -> socket.socket:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            sock = await self._upstream.open_socket()
        send_fin_at_close(sock)  # a server may log a reset as an error
        return sock


async def _talk(sock: socket.socket, header: bytes) -> tuple[Reaction, bool]:
    loop = asyncio.get_running_loop()
    try:
        if header:
            await loop.sock_sendall(sock, header)
        reaction = await _read(sock, BANNER_TIMEOUT)
        if reaction is not Reaction.SILENT:
            return reaction, True
        await loop.sock_sendall(sock, REQUEST)
        return await _read(sock, ANSWER_TIMEOUT), False
    except OSError:
        return Reaction.CLOSED, False


async def _read(sock: socket.socket, within: float) -> Reaction:
    try:
        async with asyncio.timeout(within):
            data = await asyncio.get_running_loop().sock_recv(sock, ANSWER_BYTES)
    except TimeoutError:
        return Reaction.SILENT
    if not data:
        return Reaction.CLOSED
    is_complaint = data.startswith(_TLS_ALERT) or data[8:12] == _BAD_REQUEST
    return Reaction.COMPLAINT if is_complaint else Reaction.ANSWER


def _explain(exc: OSError, target: HostPort | UnixPath) -> tuple[str, str]:
    """Return what is wrong, and what to do."""
    start = f"start your server at {target}, or correct the address"
    if isinstance(exc, socket.gaierror):
        return f"its name does not resolve: {exc.strerror}", "correct the name"
    if isinstance(exc, ConnectionRefusedError):
        return "nothing listens there", start
    if isinstance(exc, FileNotFoundError):
        return "there is no such socket", start
    if isinstance(exc, PermissionError):
        return "this user may not connect to it", "run the origin as another user"
    return f"it cannot be reached: {why(exc)}", start


def _with(version: ProxyProtocol) -> str:
    return "without a PROXY header" if version == "off" else f"with a PROXY header ({version})"
