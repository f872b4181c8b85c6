"""A pending client on a real socket: what is read, and what its relay gets."""

from __future__ import annotations

import asyncio

from quictunnel.config.addresses import HostPort
from quictunnel.events import discard_event
from quictunnel.remote.acceptor import relayed
from quictunnel.remote.outside_listener import OutsideListener
from quictunnel.remote.pending_client import HEADER_READ_SIZE, PendingClient
from quictunnel.remote.routes import Route

ROUTE = Route("default", "default", "[::]:9000")
HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.7 40000 443\r\n"
BODY = bytes(range(256)) * 2048


class Owner:
    """Admits every client."""

    def __init__(self) -> None:
        self.identified: asyncio.Future[PendingClient] = asyncio.get_running_loop().create_future()

    def admit(self, _):
        return True

    def expects_header(self, _):
        return True

    def client_identified(self, pending, *_):
        self.identified.set_result(pending)

    def client_dropped(self, pending, rejection):
        raise AssertionError(rejection)


class Taker(asyncio.Protocol):
    """A relay's side that takes all there is."""

    def __init__(self) -> None:
        self.taken = b""
        self.has_all = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        transport.resume_reading()

    def data_received(self, data):
        self.taken += data
        if len(self.taken) >= len(BODY):
            self.has_all.set()

    take_over = data_received


async def test_little_is_held_of_what_comes_behind_a_header_and_nothing_is_lost():
    owner = Owner()
    outside = OutsideListener(
        HostPort("127.0.0.1", 0), relayed(lambda: PendingClient(ROUTE, owner)), emit=discard_event
    )
    await outside.bind()
    _, writer = await asyncio.open_connection("127.0.0.1", outside.address.port)
    writer.write(HEADER + BODY)  # in the kernel before anything is read of it
    outside.serve()
    pending = await owner.identified
    assert str(pending.client.address) == "203.0.113.9:40000"
    assert len(pending._rest) < HEADER_READ_SIZE
    taker = Taker()
    pending.hand_over(taker)
    await taker.has_all.wait()
    assert taker.taken == BODY
    taker.transport.abort()
    writer.transport.abort()
    outside.close()
