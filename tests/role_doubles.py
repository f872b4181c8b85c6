"""Doubles for tests of roles: TCP connections in memory, an origin server, sessions, links.

Not a test itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar, cast

from fake_link import FakeLink, join

from quictunnel.config.addresses import HostPort
from quictunnel.config.policy import ACCEPT_ALL, Policy
from quictunnel.config.ports import PortRange
from quictunnel.config.services import ProxyProtocol, ServiceSettings
from quictunnel.config.tokens import Token
from quictunnel.errors import Refused
from quictunnel.escaping import MAX_NAME, MAX_SENTENCE, escape
from quictunnel.events import Event, EventSink, discard_event
from quictunnel.observe.event_log import EventLog
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.offer import Offer
from quictunnel.origin.session import OriginSession
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.origin.upstream import Upstream
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.protocol.preamble import Preamble
from quictunnel.remote.admission import Admission
from quictunnel.remote.registry import Identity, Registry
from quictunnel.remote.routes import Route
from quictunnel.remote.session import RemoteSession
from quictunnel.remote.session_settings import RemoteSessionSettings
from testkit.clock import settle

EventT = TypeVar("EventT", bound=Event)

TOKEN = Token("laptop", "s" * 32)
OTHER_TOKEN = Token("laptop", "x" * 32)
OUTSIDE = Address("198.51.100.1", 9000)


class FakeTcp(asyncio.Transport):
    """A TCP connection's transport, as `SocketTransport` is; the test plays the other end."""

    def __init__(
        self, peer: tuple[Any, ...] | None = ("192.0.2.7", 5555), port: int = OUTSIDE.port
    ) -> None:
        super().__init__()
        self.peer = peer
        self.port = port
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
        facts = {"peername": self.peer, "sockname": (OUTSIDE.host, self.port)}
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
        if not self.protocol.eof_received():
            self.close()

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


class FakeUpstream(Upstream):
    """An origin server that the test plays."""

    def __init__(self) -> None:
        super().__init__(HostPort("localhost", 8000))
        self.connections: list[FakeTcp] = []
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.attempts = 0
        self.tasks: list[asyncio.Task[None]] = []

    def connect(self, protocol: asyncio.Protocol, on_failure: Any) -> Any:
        self.attempts += 1
        self.tasks.append(asyncio.ensure_future(self._connect(protocol, on_failure)))
        return self.tasks[-1]

    async def _connect(self, protocol: asyncio.Protocol, on_failure: Any) -> None:
        await self.open.wait()
        if self.error is not None:
            on_failure(self.error)
            return
        connection = FakeTcp(("127.0.0.1", 8000))
        self.connections.append(connection)
        connection.connect(protocol)


class FakeRoutes:
    """Routes by name alone, without sockets."""

    def __init__(self, *names: str) -> None:
        self.routes = {name: Route(name, name, str(OUTSIDE)) for name in names}
        self.freed: list[str] = []

    def key(self, _identity: Identity, service: Service) -> str:
        return service.name

    def obtain(self, _identity: Identity, service: Service, _beside: object) -> Route:
        if service.name not in self.routes:
            raise Refused(Code.NOT_ALLOWED, f"no place for {service.name}")
        return self.routes[service.name]

    def hold(self, route: Route, identity: Identity, name: str) -> None:
        route.holder, route.name = identity, name

    def free(self, key: str) -> None:
        self.freed.append(key)


class House:
    """A remote's inside: registry, admission, and the sessions that come."""

    def __init__(
        self,
        *services: str,
        client_wait: float = 10.0,
        policies: Mapping[PortRange | None, Policy] | None = None,
        **settings: Any,
    ) -> None:
        self.events: list[Event] = []
        self.ended: list[RemoteSession] = []
        self.routes = FakeRoutes(*(services or ("default",)))
        self.registry: Registry[RemoteSession] = Registry(self._serve, self.routes.free)
        self.admission = Admission(
            self.registry.find,
            client_wait=client_wait,
            proxies=(),
            policies=policies,
            max_clients=1000,
            emit=self.events.append,
        )
        self.settings = replace(
            RemoteSessionSettings(
                instance="first",
                tokens={TOKEN.id: TOKEN},
                routes=self.routes,
                hold=900.0,
                linger=300.0,
            ),
            **settings,
        )

    def _serve(self, service: str) -> None:
        self.admission.forward_waiting(service)
        for session in self.registry.sessions_at(service):
            if not session.is_usable:
                session.move_clients()

    def session(self) -> RemoteSession:
        return RemoteSession(
            self.settings,
            self.registry,
            emit=self.events.append,
            on_open=lambda _: None,
            on_close=self.ended.append,
        )

    def client(
        self,
        service: str = "default",
        peer: tuple[str, int] | None = ("192.0.2.7", 5555),
        port: int = OUTSIDE.port,
    ) -> FakeTcp:
        route = self.routes.routes[service]
        return FakeTcp(peer, port).connect(self.admission.new_client(route))


class FakeService(ExposedService):
    """A service by name alone, whose origin server the test plays."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        proxy_protocol: ProxyProtocol = "off",
        policy: Policy = ACCEPT_ALL,
        share: str | None = None,
    ) -> None:
        super().__init__(
            ServiceSettings(
                target=HostPort("localhost", 8000), proxy_protocol=proxy_protocol, policy=policy
            )
        )
        self._name = name
        self._upstream = upstream
        self._share = share

    @cached_property
    def request(self) -> Service:
        return Service(name=self._name, share=self._share)

    def upstream(self, preamble: Preamble) -> Upstream:
        return self._upstream


def origin_session(
    *services: str,
    emit: EventSink = discard_event,
    proxy_protocol: ProxyProtocol = "off",
    policy: Policy = ACCEPT_ALL,
    share: str | None = None,
    **offer: Any,
) -> tuple[OriginSession, FakeUpstream]:
    upstream = FakeUpstream()
    exposed = {
        name: FakeService(name, upstream, proxy_protocol, policy, share)
        for name in services or ("default",)
    }
    session = OriginSession(
        replace(
            OriginSessionSettings(
                name="box",
                instance="",
                token=TOKEN,
                offer=Offer(exposed),
                hold=900.0,
                linger=300.0,
                max_clients=1000,
            ),
            **offer,
        ),
        emit,
    )
    return session, upstream


def log_origin_events() -> EventSink:
    """Return a sink that logs events as the command line does."""
    return EventLog(logging.getLogger("quictunnel.origin"))


class Tunnel:
    """A remote and one origin on a fake link."""

    def __init__(self, house: House, *services: str, **offer: Any) -> None:
        self.house = house
        self.remote = house.session()
        self.events: list[Event] = []
        self.origin, self.upstream = origin_session(*services, emit=self.events.append, **offer)
        self.near: FakeLink
        self.far: FakeLink
        self.near, self.far = join(self.origin, self.remote)

    async def up(self) -> Tunnel:
        await self.origin.greet()
        await settle()
        return self


async def a_tunnel(**settings: Any) -> Tunnel:
    return await Tunnel(House(**settings)).up()


def of_type(events: list[Event], kind: type[EventT]) -> list[EventT]:
    """The events of this class."""
    return [event for event in events if isinstance(event, kind)]


def check_peer_texts(events: list[Event]) -> None:
    """Assert that a peer's texts in these events are short once they are escaped."""
    assert events
    for event in events:
        for name in event.__slots__:
            limit = MAX_SENTENCE if name in ("reason", "error") else MAX_NAME
            value = getattr(event, name)
            texts = value if isinstance(value, tuple) else (value,)
            for text in texts:
                if not isinstance(text, int | float | None):
                    assert len(escape(str(text))) <= limit, (type(event), name)
