"""Looks up names with the system's resolver, without blocking the process's exit.

The resolver blocks, for minutes if the network is gone, and cannot be interrupted. asyncio calls it
in a thread pool that the process joins when it exits, so Ctrl-C would seem to have no effect. Here
it runs in daemon threads, which are not joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from quictunnel.config.addresses import HostPort
from quictunnel.protocol.address import literal

AddressInfo: TypeAlias = Sequence[tuple[int, int, int, str, Any]]
"""Addresses as `socket.getaddrinfo` returns them."""

SHARE_WINDOW = 2.0
"""Seconds in which lookups of the same name share one query. After that a new query is made: the
network may be back while the old query still waits for a name server that is gone."""

MAX_THREADS = 16
"""Threads that may wait for the same query. If the resolver hangs for more than half a minute,
further threads would hang too."""

_Query: TypeAlias = tuple[str, int, int, int]

_Pending: TypeAlias = dict[_Query, tuple[float, asyncio.Future[AddressInfo]]]

_pending: WeakKeyDictionary[AbstractEventLoop, _Pending] = WeakKeyDictionary()
"""The last query for each name, if it has no answer yet, and when it was made."""

_threads: WeakKeyDictionary[AbstractEventLoop, Counter[_Query]] = WeakKeyDictionary()
"""The number of threads that are still in the resolver."""


async def resolve(target: HostPort) -> list[str]:
    """Return a name's addresses in the system's order, with the families interleaved (RFC 8305).

    :raises OSError: as `look_up`.
    """
    found = await look_up(target.host, target.port, kind=socket.SOCK_DGRAM)
    by_family: dict[int, list[str]] = {}
    for family, _, _, _, sockaddr in found:
        by_family.setdefault(family, []).append(literal(sockaddr))
    interleaved = chain.from_iterable(zip_longest(*by_family.values()))
    return list(dict.fromkeys(host for host in interleaved if host is not None))


async def look_up(host: str, port: int, *, kind: int, flags: int = 0) -> AddressInfo:
    """Return the addresses of a host, in the system's order.

    :param kind: SOCK_STREAM or SOCK_DGRAM.
    :raises OSError: the name has no address (`socket.gaierror`), or cannot be looked up now.
    """
    loop = asyncio.get_running_loop()
    pending = _pending.setdefault(loop, {})
    query = (host, port, int(kind), flags)
    started_at, answer = pending.get(query, (0.0, None))
    is_hanging = _threads.setdefault(loop, Counter())[query] >= MAX_THREADS
    if answer is None and is_hanging:
        raise socket.gaierror(socket.EAI_AGAIN, "the resolver does not answer")
    if answer is None or (loop.time() - started_at > SHARE_WINDOW and not is_hanging):
        answer = _start_query(loop, query)
        pending[query] = (loop.time(), answer)
        answer.add_done_callback(partial(_remove_query, pending, query))
    return await asyncio.shield(answer)  # other lookups may share it


def _start_query(loop: AbstractEventLoop, query: _Query) -> asyncio.Future[AddressInfo]:
    answer: asyncio.Future[AddressInfo] = loop.create_future()
    threads = _threads[loop]

    def set_answer(found: AddressInfo | None, error: Exception | None) -> None:
        threads[query] -= 1
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def resolve() -> None:
        host, port, kind, flags = query
        found: AddressInfo | None = None
        error: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=kind, flags=flags)
        except Exception as exc:  # raised by `look_up`
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing waits any more
            loop.call_soon_threadsafe(set_answer, found, error)

    try:
        threading.Thread(target=resolve, name=f"look up {query[0]}", daemon=True).start()
    except RuntimeError as exc:  # the system cannot start another thread
        answer.set_exception(OSError(str(exc)))
    else:
        threads[query] += 1
    return answer


def _remove_query(pending: _Pending, query: _Query, answer: asyncio.Future[AddressInfo]) -> None:
    if query in pending and pending[query][1] is answer:
        del pending[query]
    if not answer.cancelled():
        answer.exception()  # retrieve it: no lookup may be left that waits for the answer
