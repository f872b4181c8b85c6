"""The soak's judgement, without a tunnel: it finds faults where they are, and only there.

Clients reach their server directly, or through a short relay with one fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from bench.soak.plans import PlanLimits
from bench.soak.traffic import HOST, SoakTraffic

VISITS = 80
SMALL = PlanLimits(most=60_000, longest=0.02)


async def soak(address=None, *, visits: int = VISITS, patience: float = 60) -> SoakTraffic:
    traffic = SoakTraffic(seed=3, limits=SMALL, crowd=300, patience=patience)
    serving = asyncio.create_task(traffic.serve())
    with contextlib.closing(traffic.listener):
        own = (HOST, traffic.server_port)
        traffic.address = await address(own) if address else own
        await traffic.flood(visits=visits)
        await traffic.ebb()
        await traffic.ebb()
        serving.cancel()
        await asyncio.wait([serving])
    return traffic


async def test_no_fault_is_found_without_a_tunnel():
    traffic = await soak()
    assert traffic.faults == []
    assert traffic.done["visits"] == VISITS
    for what in ("talks", "downloads", "uploads", "boths", "sits", "knocks", "stalls"):
        assert traffic.done[what] > 0, what
    for what in ("resets by a client", "resets by a server", "bytes up", "bytes down"):
        assert traffic.done[what] > 0, what
    for end in ("client", "server"):
        assert traffic.done[f"ended in order, as a {end} saw it"] > 0
        assert traffic.done[f"ended with a reset, as a {end} saw it"] > 0


class FaultyRelay:
    """A relay with one fault."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong
        self.tasks = set()

    async def __call__(self, target: tuple) -> tuple:
        self.target = target
        self.door = socket.create_server((HOST, 0), backlog=512)
        self.door.setblocking(False)
        self.spawn(self.accept())
        return self.door.getsockname()

    def spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def accept(self) -> None:
        with contextlib.closing(self.door):
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(self.door)
                client.setblocking(False)
                self.spawn(self.join(client))

    async def join(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        with client, server:
            await asyncio.get_running_loop().sock_connect(server, self.target)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.pump(client, server))
                    tasks.create_task(self.pump(server, client))
            except* OSError:
                if self.wrong != "turns resets into ends":
                    for sock in (client, server):
                        linger = struct.pack("ii", 1, 0)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def pump(self, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        carried = 0
        while data := await loop.sock_recv(source, 10_000):
            carried += len(data)
            late = carried > 20_000
            if late and self.wrong == "resets":
                raise ConnectionResetError
            if late and self.wrong == "ends early":
                break
            if late and self.wrong == "hangs":
                await asyncio.Event().wait()
            if late and self.wrong == "changes a byte":
                data = data[:-1] + bytes([data[-1] ^ 1])
            if late and self.wrong == "repeats":
                data += data[-100:]
            await loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nothing", None),
        ("turns resets into ends", "a FIN that was not sent"),
        ("resets", "a reset that was not sent"),
        ("ends early", "a FIN that was not sent"),
        ("changes a byte", "wrong bytes from"),
        ("repeats", "wrong bytes from"),
        ("hangs", "hangs with"),
    ],
)
async def test_the_fault_of_a_relay_is_found(wrong, said):
    relay = FaultyRelay(wrong)
    try:
        traffic = await soak(relay, patience=0.5 if wrong == "hangs" else 60)
    finally:
        await relay.end()
    if said is None:
        assert traffic.faults == []
    else:
        assert any(said in fault for fault in traffic.faults), traffic.faults
