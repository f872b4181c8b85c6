"""Origin servers that answer with their name, and a steady load of clients that ask for it.

Not a test itself.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections import Counter

from testkit.programs import PATIENCE
from testkit.tunnel import LOOPBACK

QUESTION = b"?"

LOAD_INTERVAL = 0.01
"""Seconds between two clients of a load."""


class NamedServer(threading.Thread):
    """Answers each piece of data that a client sends with the server's name and a line break."""

    def __init__(self, name: str) -> None:
        super().__init__(name=f"server {name}", daemon=True)
        self.questions = 0
        self._socket = socket.create_server((LOOPBACK, 0), backlog=1024)
        self.address = f"{LOOPBACK}:{self._socket.getsockname()[1]}"
        self._answer = f"{name}\n".encode()
        self._waker, self._wake = socket.socketpair()
        self.start()

    def run(self) -> None:
        """Serve until `close`."""
        with selectors.DefaultSelector() as selector:
            for sock in (self._socket, self._waker):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._waker:
                        self._end(selector)
                        return
                    if key.fileobj is self._socket:
                        selector.register(self._socket.accept()[0], selectors.EVENT_READ)
                    else:
                        self._serve(selector, key.fileobj)

    def close(self) -> None:
        """Stop, and close all connections."""
        self._wake.close()
        self.join(PATIENCE)

    def _serve(self, selector: selectors.BaseSelector, sock: socket.socket) -> None:
        try:
            data = sock.recv(65_536)
            if data:
                self.questions += 1
                sock.send(self._answer)
                return
        except OSError:  # the origin was killed
            pass
        selector.unregister(sock)
        sock.close()

    def _end(self, selector: selectors.BaseSelector) -> None:
        for key in tuple(selector.get_map().values()):
            key.fileobj.close()


class SteadyLoad(threading.Thread):
    """New clients at a constant rate until `stop`. Each asks one question."""

    def __init__(self, port: int) -> None:
        super().__init__(name="load", daemon=True)
        self._port = port
        self._answers: Counter[str] = Counter()
        self._failures: list[str] = []
        self._is_stopping = threading.Event()
        self.start()

    def run(self) -> None:
        """Run the clients on an event loop."""
        asyncio.run(self._run())

    def stop(self) -> Counter[str]:
        """Stop, wait for the last answers, and return how many came from each server.

        A client without an answer is an error.
        """
        self._is_stopping.set()
        self.join(2 * PATIENCE)
        assert not self._failures, self._failures[:5]
        return self._answers

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            while not self._is_stopping.is_set():
                clients.create_task(self._ask())
                await asyncio.sleep(LOAD_INTERVAL)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
                writer.write(QUESTION)
                answer = (await reader.readline()).decode().strip()
                writer.close()
        except OSError as exc:  # a timeout is one
            answer = ""
            self._failures.append(repr(exc))
        if answer:
            self._answers[answer] += 1
        elif not self._failures:
            self._failures.append("a connection ended without an answer")


def ask(port: int, source: str = LOOPBACK, question: bytes = QUESTION) -> tuple[str, socket.socket]:
    """Ask one question from a source address; return the server's name and the connection."""
    sock = socket.create_connection((LOOPBACK, port), PATIENCE, (source, 0))
    sock.sendall(question)
    return sock.makefile().readline().strip(), sock
