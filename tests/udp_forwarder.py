"""A UDP forwarder on loopback that a test can darken, point elsewhere or listen at. Not a test."""

from __future__ import annotations

import asyncio
from typing import Self


class Forwarder(asyncio.DatagramProtocol):
    """Passes datagrams on, a socket of its own for each sender."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.is_dark = False
        self._front: asyncio.DatagramTransport | None = None
        self._backs: dict[tuple, _Back] = {}

    @classmethod
    async def start(cls, target: int) -> Self:
        forwarder = cls(target)
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: forwarder, local_addr=("127.0.0.1", 0)
        )
        return forwarder

    @property
    def port(self) -> int:
        return self._front.get_extra_info("sockname")[1]

    def lead_to(self, target: int) -> None:
        """Pass on to another target; nothing is heard from the one before."""
        self._target = target
        self._drop_backs()

    def close(self) -> None:
        self._front.close()
        self._drop_backs()

    def _drop_backs(self) -> None:
        for back in self._backs.values():
            back.close()
        self._backs.clear()

    def connection_made(self, transport):
        self._front = transport

    def datagram_received(self, data, addr):
        if self.is_dark:
            return
        back = self._backs.get(addr)
        if back is None:
            back = self._backs[addr] = _Back(self, addr, self._target)
        back.send(data)

    def answer(self, data, addr):
        if not (self.is_dark or self._front.is_closing()):
            self._front.sendto(data, addr)


class Recorder(Forwarder):
    """Remembers every datagram, both ways."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.to_target: list[bytes] = []
        self.from_target: list[bytes] = []

    def datagram_received(self, data, addr):
        self.to_target.append(data)
        super().datagram_received(data, addr)

    def answer(self, data, addr):
        self.from_target.append(data)
        super().answer(data, addr)


class _Back(asyncio.DatagramProtocol):
    """The side towards the target, for one sender."""

    def __init__(self, forwarder: Forwarder, sender: tuple, target: int) -> None:
        self._forwarder = forwarder
        self._sender = sender
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._opening = asyncio.create_task(
            asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, remote_addr=("127.0.0.1", target)
            )
        )

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.sendto(data)

    def close(self) -> None:
        self._opening.cancel()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport):
        self._transport = transport
        for data in self._early:
            transport.sendto(data)

    def datagram_received(self, data, addr):
        self._forwarder.answer(data, self._sender)

    def error_received(self, exc):
        pass  # nobody listens there now
