"""A role and its admin interface in a thread, for a browser that the test waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from observed_role import managed_role

from quictunnel.admin.interface import AdminInterface
from quictunnel.admin.link_changes import LinkChanges
from quictunnel.admin.link_history import LinkHistory
from quictunnel.config.addresses import HostPort
from quictunnel.events import Event

T = TypeVar("T")


class ServedRole:
    """Serves the interface of a role whose state the test decides. Use `with`.

    :param name: which role it is.
    """

    def __init__(self, name: str = "remote", **more: object) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._changes = LinkChanges()
        self._port = 0
        self.events: list[Event] = []
        """The events of the interface itself."""
        self.managed = managed_role(name, **more)
        self.role = self.managed.role
        self._interface: AdminInterface | None = None

    def __enter__(self) -> ServedRole:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Serve, on the same port as before if there was one."""
        self._wait(self._start())

    def stop(self) -> None:
        """Stop serving."""
        if self._interface is not None:
            self._wait(self._interface.close())
            self._interface = None

    def change(self, change: Callable[[], T]) -> T:
        """Call a function in the thread of the interface; return its result."""

        async def call() -> T:
            return change()

        return self._wait(call())

    def emit(self, event: Event) -> None:
        """Emit an event of the role."""
        self.change(lambda: (self.managed.history(event), self._changes(event)))

    async def _start(self) -> None:
        links = LinkHistory(self.role, self.managed.name, self._changes, emit=self.events.append)
        managed = replace(self.managed, links=links)
        listen = HostPort("127.0.0.1", self._port)
        self._interface = AdminInterface(managed, listen, emit=self.events.append)
        await self._interface.bind()
        await self._interface.start()
        self._port = self._interface.address.port

    def _wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)
