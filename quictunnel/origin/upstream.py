"""The way to an origin server: TCP or a Unix socket, a connection for each client.

It gives a connection to a protocol and knows nothing of what goes over it. Mostly the place to
connect to is known and answers at once; then a client costs neither a task nor a timer of its own.
Where a name's addresses are to be found out and tried, a task does it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.origin.happy_eyeballs import first_to_succeed
from quictunnel.protocol.codes import Code
from quictunnel.relay import SocketTransport, readiness, set_options
from quictunnel.relay.readiness import WRITABLE
from quictunnel.relay.timers import SharedTimer
from quictunnel.session.resolver import look_up

DIAL_TIMEOUT = 10.0
"""Seconds for a connection to the origin server, which is near; as long as a new client waits."""

REMEMBERED = 30.0
"""Seconds for which an address that answered is dialled again without asking for the name."""

_FULL_QUEUE_PAUSE = 0.02
"""Seconds between two attempts at a Unix socket whose queue is full, of which no event tells."""


class DialError(Exception):
    """The origin server cannot be had; says with which code the client's stream is reset."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Place:
    """An address as sockets take it."""

    family: int
    sockaddr: Any


class _Way:
    """What all dials of a dialler have in common."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.readiness = readiness(self.loop)
        self.deadlines = SharedTimer(DIAL_TIMEOUT, Dial.take_too_long, self.loop)


class Dialler:
    """Makes connections to one origin server.

    :param target: where it is.
    """

    def __init__(self, target: HostPort | UnixPath) -> None:
        self.target = target
        self._literal = _literal(target)
        self._known: _Place | None = None
        self._known_until = 0.0
        self._way: _Way | None = None

    def dial(self, protocol: asyncio.Protocol, failed: Callable[[Exception], None]) -> Dial:
        """Begin to connect; the connection is handed to `protocol`.

        :param failed: called in place of that, perhaps at once: with a `DialError`, which has the
            code for the client's stream and the reason for the log, or with a fault of ours.
        """
        way = self._way
        if way is None:
            way = self._way = _Way()
        dial = Dial(self, way, protocol, failed)
        place = self._literal
        if place is None and way.loop.time() < self._known_until:
            place = self._known
        dial.begin(place)
        return dial

    def may_search(self, exc: OSError) -> bool:
        """Return whether there may be another way, now that the known place has failed."""
        if self._literal is not None:
            # A Unix socket whose queue is full is waited for.
            return isinstance(self.target, UnixPath) and isinstance(exc, BlockingIOError)
        self._known = None  # it may have moved to another of its name's addresses
        return True

    async def search(self) -> socket.socket:
        """Return a socket that is connected, however long it takes.

        :raises OSError: the reason that tells most.
        """
        if isinstance(self.target, UnixPath):
            return await _connect_unix(self.target.path)
        found = await look_up(self.target.host, self.target.port, kind=socket.SOCK_STREAM)
        places = [_Place(family, sockaddr) for family, _, _, _, sockaddr in found]
        try:
            sock, self._known = await first_to_succeed(
                [partial(_connect_tcp, place) for place in places],
                discard=lambda result: result[0].close(),
            )
        except ExceptionGroup as group:
            raise _most_telling(group.exceptions) from None
        self._known_until = asyncio.get_running_loop().time() + REMEMBERED
        return sock


class Dial:
    """A connection on its way, for one client. Made by `Dialler.dial`."""

    __slots__ = (
        "_dialler",
        "_failed",
        "_is_over",
        "_protocol",
        "_sock",
        "_task",
        "_way",
    )

    def __init__(
        self,
        dialler: Dialler,
        way: _Way,
        protocol: asyncio.Protocol,
        failed: Callable[[Exception], None],
    ) -> None:
        self._dialler = dialler
        self._way = way
        self._protocol = protocol
        self._failed = failed
        self._sock: socket.socket | None = None  # which connects, and is watched
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    def begin(self, place: _Place | None) -> None:
        """Connect to a place that is known, or search for one."""
        self._way.deadlines.start(self)
        if place is None:
            self._search()
            return
        try:
            sock = _socket(place)
        except OSError as exc:
            self._fail(exc)
            return
        try:
            number = sock.connect_ex(place.sockaddr)
            if number == errno.EINPROGRESS:
                self._way.readiness.add(sock.fileno(), self)
                self._way.readiness.want_writing(sock.fileno(), wanted=True)
                self._sock = sock
            elif number:
                raise OSError(number, os.strerror(number))
            else:
                self._stand(sock)
        except OSError as exc:
            sock.close()
            self._try_on(exc)

    def cancel(self) -> None:
        """Call it off, if it is still on its way; nobody hears of it any more."""
        if not self._is_over:
            self._end()
            self._drop_socket()
            if self._task is not None:
                self._task.cancel()

    def take_too_long(self) -> None:
        """Fail: all the time for it has passed."""
        self.cancel()
        self._failed(DialError(Code.ORIGIN_UNREACHABLE, f"no answer within {DIAL_TIMEOUT:g} s"))

    def on_ready(self, events: int) -> None:
        """See `readiness.Handler`."""
        sock = self._sock
        if sock is None:
            return
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._drop_socket()
            self._try_on(OSError(number, os.strerror(number)))
        elif events & WRITABLE:
            self._sock = None
            self._way.readiness.want_writing(sock.fileno(), wanted=False)
            self._stand(sock, events)

    def on_error(self, exc: Exception) -> None:
        """See `readiness.Handler`."""
        self.cancel()
        self._failed(exc)

    # -- Inside

    def _stand(self, sock: socket.socket, events: int = 0) -> None:
        """Hand the connection over, and what is known of it if it was watched."""
        self._end()
        transport = SocketTransport(sock, self._way.readiness, has_options=True)
        transport.attach(self._protocol, events)

    def _try_on(self, exc: OSError) -> None:
        if self._dialler.may_search(exc):
            self._search()
        else:
            self._fail(exc)

    def _search(self) -> None:
        self._task = self._way.loop.create_task(self._find(), name="dial")

    async def _find(self) -> None:
        try:
            sock = await self._dialler.search()
            try:
                self._stand(sock)
            except OSError:
                sock.close()
                raise
        except Exception as exc:  # a fault of ours is told as well
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        self._end()
        if isinstance(exc, OSError):
            exc = DialError(_code_for(exc), _words_for(exc))
        self._failed(exc)

    def _end(self) -> None:
        self._is_over = True
        self._way.deadlines.cancel(self)

    def _drop_socket(self) -> None:
        if self._sock is not None:
            self._way.readiness.remove(self._sock.fileno())
            self._way.loop.call_soon(self._sock.close)
            self._sock = None


def _literal(target: HostPort | UnixPath) -> _Place | None:
    """Return the place that a target without a name is; None for a name."""
    if isinstance(target, UnixPath):
        return _Place(socket.AF_UNIX, target.path)
    try:
        version = ipaddress.ip_address(target.host).version
    except ValueError:
        return None
    if "%" in target.host:
        return None  # a scope is for the resolver to read
    return _Place(socket.AF_INET6 if version == 6 else socket.AF_INET, (target.host, target.port))


def _socket(place: _Place) -> socket.socket:
    """Return a socket that is ready to connect.

    A client may leave, or we be killed, when the server has accepted and we have not heard of it.
    So even then it is to see a reset, and the socket has all options of a relayed one by then.
    """
    sock = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_tcp(place: _Place) -> tuple[socket.socket, _Place]:
    sock = _socket(place)
    try:
        await asyncio.get_running_loop().sock_connect(sock, place.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock, place


async def _connect_unix(path: str) -> socket.socket:
    sock = _socket(_Place(socket.AF_UNIX, path))
    try:
        while True:
            try:
                # Not by the loop's sock_connect: it takes a full queue for a connection under way.
                sock.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_FULL_QUEUE_PAUSE)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


def _most_telling(errors: Sequence[Exception]) -> Exception:
    """Of what went wrong on the ways to several addresses, what tells most: that one refused."""
    for error in errors:
        if not isinstance(error, OSError):
            return error  # a fault of ours
    return next((exc for exc in errors if isinstance(exc, ConnectionRefusedError)), errors[0])


def _code_for(exc: OSError) -> Code:
    if isinstance(exc, ConnectionRefusedError):
        return Code.ORIGIN_REFUSED
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        return Code.OVERLOADED
    return Code.ORIGIN_UNREACHABLE


def _words_for(exc: OSError) -> str:
    if isinstance(exc, socket.gaierror):
        return f"its name does not resolve: {exc.strerror}"
    return os.strerror(exc.errno) if exc.errno else str(exc)
