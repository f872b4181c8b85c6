"""Connects to an origin server over TCP or a Unix socket, once for each client.

Most attempts use an IP address that is known to work. They need no task and no timer of their own.
A task runs only if a name must be resolved, or if a known address has failed.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.protocol.codes import Code
from quictunnel.quic.happy_eyeballs import first_to_succeed
from quictunnel.relay.readiness import WRITABLE, readiness
from quictunnel.relay.tcp_options import set_options
from quictunnel.relay.tcp_transport import SocketTransport
from quictunnel.relay.timers import SharedTimer
from quictunnel.session.resolver import look_up

CONNECT_TIMEOUT = 10.0
"""Seconds to connect to the origin server, the same as a new client waits at the remote."""

ADDRESS_LIFETIME = 30.0
"""Seconds that an address which has worked is used again without resolving the name."""

FULL_QUEUE_RETRY = 0.02
"""Seconds between attempts on a Unix socket whose queue is full. No event says that it has room."""

RESET_CODES = {
    errno.ECONNREFUSED: Code.ORIGIN_REFUSED,
    errno.EMFILE: Code.OVERLOADED,
    errno.ENFILE: Code.OVERLOADED,
}
"""The codes to reset a client's stream with. Any other error means ORIGIN_UNREACHABLE."""


class ConnectError(Exception):
    """The origin server cannot be reached.

    :param code: the code to reset the client's stream with.
    :param reason: the system's error.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _SocketAddress(NamedTuple):
    """An address in the form that sockets take."""

    family: int
    sockaddr: Any


class Upstream:
    """One origin server.

    :param target: its address.
    """

    def __init__(self, target: HostPort | UnixPath) -> None:
        self.target = target
        self._literal = _parse_literal(target)
        self._known: _SocketAddress | None = None
        self._known_until = 0.0
        self._deadlines: SharedTimer[ConnectAttempt] | None = None

    def connect(
        self, protocol: asyncio.Protocol, on_failure: Callable[[Exception], None]
    ) -> ConnectAttempt:
        """Start to connect. A successful attempt calls `protocol.connection_made`.

        :param on_failure: called if the attempt fails, perhaps before this method returns, with a
            `ConnectError`, or with another exception if there is a bug.
        """
        loop = asyncio.get_running_loop()
        if self._deadlines is None:
            self._deadlines = SharedTimer(CONNECT_TIMEOUT, ConnectAttempt.time_out, loop)
        attempt = ConnectAttempt(self, self._deadlines, protocol, on_failure)
        address = self._literal
        if address is None and loop.time() < self._known_until:
            address = self._known
        attempt.start(address)
        return attempt

    async def open_socket(self) -> socket.socket:
        """Return a connected socket. It has no time limit.

        :raises OSError: the server cannot be reached.
        """
        is_known = asyncio.get_running_loop().time() < self._known_until
        address = self._literal or (self._known if is_known else None)
        if address is not None:
            try:
                sock, _ = await _connect(address)
            except OSError as exc:
                if not self.has_alternative(exc):
                    raise
            else:
                return sock
        return await self.connect_any()

    def has_alternative(self, exc: OSError) -> bool:
        """Return whether `connect_any` may succeed although the known address has failed."""
        if self._literal is not None:
            # A Unix socket whose queue is full soon has room.
            return isinstance(self.target, UnixPath) and isinstance(exc, BlockingIOError)
        self._known = None  # the name may have another address by now
        return True

    async def connect_any(self) -> socket.socket:
        """Return a socket that is connected to any of the target's addresses. It has no time limit.

        :raises OSError: the most informative of the errors.
        """
        if isinstance(self.target, UnixPath):
            sock, _ = await _connect(_SocketAddress(socket.AF_UNIX, self.target.path))
            return sock
        found = await look_up(self.target.host, self.target.port, kind=socket.SOCK_STREAM)
        addresses = [_SocketAddress(family, sockaddr) for family, _, _, _, sockaddr in found]
        try:
            sock, self._known = await first_to_succeed(
                [partial(_connect, address) for address in addresses],
                discard=lambda result: result[0].close(),
            )
        except ExceptionGroup as group:
            raise _most_informative(group.exceptions) from None
        self._known_until = asyncio.get_running_loop().time() + ADDRESS_LIFETIME
        return sock


class ConnectAttempt:
    """An attempt to connect to an origin server, for one client. `Upstream.connect` makes it."""

    __slots__ = (
        "_deadlines",
        "_is_over",
        "_on_failure",
        "_protocol",
        "_readiness",
        "_sock",
        "_task",
        "_upstream",
    )

    def __init__(
        self,
        upstream: Upstream,
        deadlines: SharedTimer[ConnectAttempt],
        protocol: asyncio.Protocol,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._upstream = upstream
        self._deadlines = deadlines
        self._readiness = readiness(asyncio.get_running_loop())
        self._protocol = protocol
        self._on_failure = on_failure
        self._sock: socket.socket | None = None  # while it connects, watched by `readiness`
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    def start(self, address: _SocketAddress | None) -> None:
        """Connect to a known address, or to any address of the target."""
        self._deadlines.start(self)
        if address is None:
            self._start_task()
            return
        sock = None
        try:
            sock = _new_socket(address)
            number = sock.connect_ex(address.sockaddr)
            if number == errno.EINPROGRESS:
                self._readiness.add(sock.fileno(), self)
                self._readiness.want_writing(sock.fileno(), wanted=True)
                self._sock = sock
            elif number:
                raise OSError(number, os.strerror(number))
            else:
                self._hand_over(sock)
        except OSError as exc:
            if sock is not None:
                sock.close()
            self._try_alternative(exc)

    def cancel(self) -> None:
        """Cancel the attempt, which calls neither callback any more. It may be over already."""
        if not self._is_over:
            self._finish()
            self._close_socket()
            if self._task is not None:
                self._task.cancel()

    def time_out(self) -> None:
        """Fail because the attempt takes too long."""
        self.cancel()
        reason = f"no answer within {CONNECT_TIMEOUT:g} s"
        self._on_failure(ConnectError(Code.ORIGIN_UNREACHABLE, reason))

    def on_ready(self, events: int) -> None:
        """See `readiness.Handler`."""
        sock = self._sock
        if sock is None:
            return
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._close_socket()
            self._try_alternative(OSError(number, os.strerror(number)))
        elif events & WRITABLE:
            self._sock = None
            self._readiness.want_writing(sock.fileno(), wanted=False)
            self._hand_over(sock, events)

    def on_error(self, exc: Exception) -> None:
        """See `readiness.Handler`."""
        self.cancel()
        self._on_failure(exc)

    # -- Inside

    def _hand_over(self, sock: socket.socket, events: int = 0) -> None:
        """Give the connected socket to the protocol.

        :param events: the events reported for the socket so far, if it is watched.
        """
        self._finish()
        transport = SocketTransport(sock, self._readiness, has_options=True)
        transport.attach(self._protocol, events)

    def _try_alternative(self, exc: OSError) -> None:
        if self._upstream.has_alternative(exc):
            self._start_task()
        else:
            self._fail(exc)

    def _start_task(self) -> None:
        self._task = asyncio.create_task(self._connect_any(), name="connect")

    async def _connect_any(self) -> None:
        try:
            sock = await self._upstream.connect_any()
            try:
                self._hand_over(sock)
            except OSError:
                sock.close()
                raise
        except Exception as exc:  # a bug must end this client, not go unnoticed in a task
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        self._finish()
        if isinstance(exc, OSError):
            exc = ConnectError(
                RESET_CODES.get(exc.errno or 0, Code.ORIGIN_UNREACHABLE), _describe(exc)
            )
        self._on_failure(exc)

    def _finish(self) -> None:
        self._is_over = True
        self._deadlines.cancel(self)

    def _close_socket(self) -> None:
        if self._sock is not None:
            self._readiness.remove(self._sock.fileno())
            asyncio.get_running_loop().call_soon(self._sock.close)
            self._sock = None


def _parse_literal(target: HostPort | UnixPath) -> _SocketAddress | None:
    """Return the address of a target that needs no lookup; None for a name."""
    if isinstance(target, UnixPath):
        return _SocketAddress(socket.AF_UNIX, target.path)
    try:
        version = ipaddress.ip_address(target.host).version
    except ValueError:
        return None
    if "%" in target.host:
        return None  # only the resolver can read a scope
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return _SocketAddress(family, (target.host, target.port))


def _new_socket(address: _SocketAddress) -> socket.socket:
    """Return a non-blocking socket that has all options of a relayed connection.

    They are set before connecting. The origin server may accept, and then the client or this
    program may end before the socket is handed over. Even then the server must see a reset.
    """
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(address: _SocketAddress) -> tuple[socket.socket, _SocketAddress]:
    sock = _new_socket(address)
    is_unix = address.family == socket.AF_UNIX
    connect = _connect_unix if is_unix else asyncio.get_running_loop().sock_connect
    try:
        await connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock, address


async def _connect_unix(sock: socket.socket, path: str) -> None:
    """Connect as `loop.sock_connect`, which takes a full queue for a connection in progress."""
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            await asyncio.sleep(FULL_QUEUE_RETRY)
        else:
            return


def _most_informative(errors: Sequence[Exception]) -> Exception:
    """Return the error to report of those at several addresses: a bug, then a refusal."""
    for error in errors:
        if not isinstance(error, OSError):
            return error
    return next((exc for exc in errors if isinstance(exc, ConnectionRefusedError)), errors[0])


def _describe(exc: OSError) -> str:
    if isinstance(exc, socket.gaierror):
        return f"its name does not resolve: {exc.strerror}"
    return os.strerror(exc.errno) if exc.errno else str(exc)
