"""The way to an origin server: TCP or a Unix socket, a connection for each client.

It gives a connection to a protocol and knows nothing of what goes over it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.origin.race import first_to_succeed
from quictunnel.protocol.codes import Code
from quictunnel.relay import reset_unless_ended
from quictunnel.session.lookup import look_up

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


class Dialler:
    """Makes connections to one origin server.

    :param target: where it is.
    """

    def __init__(self, target: HostPort | UnixPath) -> None:
        self.target = target
        self._known: _Place | None = None
        self._known_until = 0.0

    async def dial(self, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Connect and hand the connection to a protocol.

        :raises DialError: with the code for the client's stream, and the reason for the log.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                sock = await self._connect(loop)
                try:
                    await loop.create_connection(protocol_factory, sock=sock)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            raise DialError(
                Code.ORIGIN_UNREACHABLE, f"no answer within {DIAL_TIMEOUT:g} s"
            ) from None
        except OSError as exc:
            raise DialError(_code_for(exc), _words_for(exc)) from exc

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        if isinstance(self.target, UnixPath):
            return await _connect_unix(self.target.path)
        if self._known is not None and loop.time() < self._known_until:
            try:
                return (await _connect_tcp(self._known))[0]
            except OSError:
                # It may have moved to another of its name's addresses.
                self._known = None
        found = await look_up(self.target.host, self.target.port, kind=socket.SOCK_STREAM)
        places = [_Place(family, sockaddr) for family, _, _, _, sockaddr in found]
        try:
            sock, self._known = await first_to_succeed(
                [partial(_connect_tcp, place) for place in places],
                discard=lambda result: result[0].close(),
            )
        except ExceptionGroup as group:
            raise _most_telling(group.exceptions) from None
        self._known_until = loop.time() + REMEMBERED
        return sock


async def _connect_tcp(place: _Place) -> tuple[socket.socket, _Place]:
    sock = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # From now on: a client may leave between the server's accept(2) and our hearing of it.
        reset_unless_ended(sock)
        await asyncio.get_running_loop().sock_connect(sock, place.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock, place


async def _connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
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
