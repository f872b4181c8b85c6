"""A network between two programs that a test can darken, and traffic that is checked. Not a test.

The network has a thread and an event loop of its own, for the tests of programs wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from typing import Self

from programs import PATIENCE
from tunnels import Peer
from udp_forwarder import Forwarder

PIECE = random.Random(3).randbytes(1 << 18)


class DarkNetwork:
    """A forwarder of datagrams. To be entered.

    :param target: the remote's UDP port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._forwarder: Forwarder

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(Forwarder.start(self._target), self._loop)
        self._forwarder = starting.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    @property
    def address(self) -> str:
        """Where an origin finds the remote."""
        return f"127.0.0.1:{self._forwarder.port}"

    def darken(self) -> None:
        self._forwarder.is_dark = True

    def light(self) -> None:
        self._forwarder.is_dark = False

    async def _close(self) -> None:
        self._forwarder.close()
        await asyncio.sleep(0)


class Bulk:
    """Bytes from one end of a connection to the other, as fast as they go, hashed at both ends."""

    def __init__(self, sender: Peer, receiver: Peer) -> None:
        self.received = 0
        self._sender, self._receiver = sender, receiver
        self._sent_hash, self._received_hash = hashlib.sha256(), hashlib.sha256()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]
        for peer in (sender, receiver):
            peer.sock.settimeout(3 * PATIENCE)  # what is held does not move for a while
        for thread in self._threads:
            thread.start()

    def has_moved_on(self, count: int) -> bool:
        """Return whether so many bytes more have arrived, once they have or patience is over."""
        until, wanted = time.monotonic() + 2 * PATIENCE, self.received + count
        while self.received < wanted and time.monotonic() < until:
            time.sleep(0.02)
        return self.received >= wanted

    def end(self) -> bool:
        """Finish; return whether all has arrived, and as it was sent."""
        self._over.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
        return self._sent_hash.digest() == self._received_hash.digest()

    def _send(self) -> None:
        while not self._over.is_set():
            self._sender.sock.sendall(PIECE)
            self._sent_hash.update(PIECE)
        self._sender.end()

    def _receive(self) -> None:
        while data := self._receiver.sock.recv(1 << 18):
            self._received_hash.update(data)
            self.received += len(data)
