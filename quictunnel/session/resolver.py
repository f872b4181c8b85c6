"""Names to addresses, by the system's own resolver. What is done with them is others' business.

The resolver blocks, for minutes where the network is gone, and cannot be broken off. asyncio
asks it in threads of a pool that the process waits for at its end: Ctrl-C would seem to do nothing.
So here it is asked in a thread that nobody waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

Places: TypeAlias = Sequence[tuple[int, int, int, str, Any]]
"""As `socket.getaddrinfo` returns them."""

FRESH = 2.0
"""Seconds in which a question that is asked already is not asked once more, however many want its
answer. Later it is: the network may be back, and the resolver still wait for one that has gone."""

ASKING_MAX = 16
"""Threads that may wait for the same answer: where the resolver hangs for more than half a minute,
more of them would be told nothing either."""

_Question: TypeAlias = tuple[str, int, int, int]

_Asked: TypeAlias = dict[_Question, tuple[float, asyncio.Future[Places]]]

_asked: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Asked] = weakref.WeakKeyDictionary()
"""What is under way, and since when. So a name costs at most one thread in `FRESH` seconds, for as
long as the resolver hangs."""

_threads: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Counter[_Question]]
_threads = weakref.WeakKeyDictionary()
"""How many threads have not come back yet."""


async def look_up(host: str, port: int, *, kind: int, flags: int = 0) -> Places:
    """Return the addresses of a host, in the system's order.

    :param kind: of socket: SOCK_STREAM or SOCK_DGRAM.
    :raises OSError: the name leads nowhere (`socket.gaierror`), or cannot be asked for now.
    """
    loop = asyncio.get_running_loop()
    asked = _asked.setdefault(loop, {})
    question = (host, port, int(kind), flags)
    began, answer = asked.get(question, (0.0, None))
    is_hanging = _threads.setdefault(loop, Counter())[question] >= ASKING_MAX
    if answer is None and is_hanging:
        raise socket.gaierror(socket.EAI_AGAIN, "the resolver does not answer")
    if answer is None or (loop.time() - began > FRESH and not is_hanging):
        answer = _ask(loop, question)
        asked[question] = (loop.time(), answer)
        answer.add_done_callback(partial(_forget, asked, question))
    return await asyncio.shield(answer)  # others may wait for it as well


def _ask(loop: asyncio.AbstractEventLoop, question: _Question) -> asyncio.Future[Places]:
    answer: asyncio.Future[Places] = loop.create_future()
    threads = _threads[loop]

    def tell(places: Places | None, error: Exception | None) -> None:
        threads[question] -= 1
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(places or [])

    def ask() -> None:
        host, port, kind, flags = question
        places: Places | None = None
        error: Exception | None = None
        try:
            places = socket.getaddrinfo(host, port, type=kind, flags=flags)
        except Exception as exc:  # it is raised where the answer is waited for
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, places, error)

    try:
        threading.Thread(target=ask, name=f"look up {question[0]}", daemon=True).start()
    except RuntimeError as exc:  # the system has no thread to spare
        answer.set_exception(OSError(str(exc)))
    else:
        threads[question] += 1
    return answer


def _forget(asked: _Asked, question: _Question, answer: asyncio.Future[Places]) -> None:
    if question in asked and asked[question][1] is answer:
        del asked[question]
    if not answer.cancelled():
        answer.exception()  # whoever waited for it may have gone
