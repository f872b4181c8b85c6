"""Doubles for tests of roles: TCP connections in memory, an origin server, sessions, links.

Not a test itself.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any, cast

from fake_link import FakeLink, join

from quictunnel.config.addresses import HostPort
from quictunnel.config.tokens import Token
from quictunnel.origin.session import OriginSession
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.origin.upstream import Dialler
from quictunnel.protocol.address import Address
from quictunnel.remote.admission import Admission
from quictunnel.remote.registry import Registry
from quictunnel.remote.session import RemoteSession
from quictunnel.remote.session_settings import RemoteSessionSettings
from testkit.clock import settle

TOKEN = Token("laptop", "s" * 32)
OTHER_TOKEN = Token("laptop", "x" * 32)
OUTSIDE = Address("198.51.100.1", 9000)


class FakeTcp(asyncio.Transport):
    """The transport of a TCP connection whose other end is the test."""

    def __init__(self, peer: tuple[Any, ...] = ("192.0.2.7", 5555)) -> None:
        super().__init__()
        self.peer = peer
        self.written = b""
        self.eof_written = False
        self.was_reset = False
        self.was_closed = False
        self.protocol: asyncio.Protocol | None = None
        self._reading = False

    def connect(self, protocol: asyncio.Protocol) -> FakeTcp:
        self.protocol = protocol
        protocol.connection_made(self)
        return self

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        facts = {"peername": self.peer, "sockname": (OUTSIDE.host, OUTSIDE.port)}
        return facts.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    # The other end

    def send(self, data: bytes) -> None:
        assert self._reading
        assert self.protocol is not None
        self.protocol.data_received(data)

    def send_eof(self) -> None:
        assert self._reading
        assert self.protocol is not None
        self.protocol.eof_received()

    def fail(self, exc: Exception) -> None:
        assert self.protocol is not None
        self.was_closed = True
        self.protocol.connection_lost(exc)

    @property
    def is_over(self) -> bool:
        return self.was_reset or self.was_closed

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.eof_written = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 65_536

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        if not self.is_over:
            self.was_closed = True
            self._lose()

    def abort(self) -> None:
        if not self.is_over:
            self.was_reset = True
            self._lose()

    def _lose(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: self.protocol.connection_lost(None))  # type: ignore[union-attr]


class FakeDialler(Dialler):
    """Connects to an origin server that is the test."""

    def __init__(self) -> None:
        super().__init__(HostPort("localhost", 8000))
        self.connections: list[FakeTcp] = []
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.dialled = 0
        self.dials: list[asyncio.Task[None]] = []

    def dial(self, protocol: asyncio.Protocol, failed: Any) -> Any:
        self.dialled += 1
        self.dials.append(asyncio.ensure_future(self._dial(protocol, failed)))
        return self.dials[-1]

    async def _dial(self, protocol: asyncio.Protocol, failed: Any) -> None:
        await self.open.wait()
        if self.error is not None:
            failed(self.error)
            return
        connection = FakeTcp(("127.0.0.1", 8000))
        self.connections.append(connection)
        connection.connect(protocol)


class House:
    """The inside of a remote: its registry, its admission and its sessions."""

    def __init__(self, *services: str, client_wait: float = 10.0, **terms: Any) -> None:
        self.ended: list[RemoteSession] = []
        self.registry: Registry[RemoteSession] = Registry(self._serve)
        self.admission = Admission(
            self.registry.find, client_wait=client_wait, proxies=(), max_clients=1000
        )
        self.terms = replace(
            RemoteSessionSettings(
                instance="first",
                tokens={TOKEN.id: TOKEN},
                outside=dict.fromkeys(services or ("default",), OUTSIDE),
                hold=900.0,
                linger=300.0,
            ),
            **terms,
        )

    def _serve(self, service: str) -> None:
        self.admission.serve(service)

    def session(self) -> RemoteSession:
        return RemoteSession(
            self.terms, self.registry, on_made=lambda _: None, on_end=self.ended.append
        )

    def client(self, service: str = "default", port: int = 5555) -> FakeTcp:
        return FakeTcp(("192.0.2.7", port)).connect(self.admission.arrival(service))


def origin_session(*services: str, **offer: Any) -> tuple[OriginSession, FakeDialler]:
    dialler = FakeDialler()
    session = OriginSession(
        replace(
            OriginSessionSettings(
                name="box",
                instance="",
                token=TOKEN,
                services=dict.fromkeys(services or ("default",), dialler),
                proxy_protocol="off",
                hold=900.0,
                linger=300.0,
                max_clients=1000,
            ),
            **offer,
        )
    )
    return session, dialler


class Tunnel:
    """A remote and one origin on a fake link."""

    def __init__(self, house: House, *services: str, **offer: Any) -> None:
        self.house = house
        self.remote = house.session()
        self.origin, self.dialler = origin_session(*services, **offer)
        self.near: FakeLink
        self.far: FakeLink
        self.near, self.far = join(self.origin, self.remote)

    async def up(self) -> Tunnel:
        await self.origin.greet()
        await settle()
        return self


async def a_tunnel(**terms: Any) -> Tunnel:
    return await Tunnel(House(**terms)).up()


def facts(caplog: Any, message: str) -> list[dict[str, Any]]:
    """Return the fields of every fact that was logged with this message."""
    return [
        getattr(record, "quictunnel_facts", {})
        for record in caplog.records
        if record.getMessage() == message
    ]


def listen_to_logs(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG, logger="quictunnel")
