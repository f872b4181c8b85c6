"""A network for tests of the origin as a whole: a remote that can be reached or not."""

from __future__ import annotations

import asyncio
import random
from functools import partial

from fake_link import FakeLink, join
from role_doubles import TOKEN, House, of_type

from quictunnel.config.addresses import HostPort
from quictunnel.config.health import HealthCheck
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkFailed, Refused
from quictunnel.events import Event, LinkAttemptFailed, LinkEstablished, PathKind
from quictunnel.origin import connector
from quictunnel.origin.client import Origin
from quictunnel.origin.path_memory import PathMemory
from quictunnel.origin.session import OriginSession
from testkit.clock import seconds, settle


class OneAddress:
    """The one address of a scenario's remote, in one attempt."""

    def __init__(self, world, _target, *, make_session, time_limit, websocket_delay, **_) -> None:
        world.websocket_delays.append(websocket_delay)
        self._dial = partial(world.dial, make_session, time_limit)
        self._is_linked = False

    async def dial(self) -> OriginSession:
        if self._is_linked:
            raise LinkFailed("no other address")
        session = await self._dial()
        self._is_linked = True
        return session


class OriginScenario:
    """A remote that can be reached or not, and an origin that connects to it."""

    def __init__(self, monkeypatch, *, token=TOKEN, check: HealthCheck | None = None) -> None:
        self.house: House = House()
        self.reachable = True
        self.refusal: Refused | None = None
        self.attempts: list[float] = []
        self.time_limits: list[float] = []
        self.websocket_delays: list[float] = []
        self.links: list[FakeLink] = []
        self.path = PathKind.UDP  # of the links to come
        self.path_memory = PathMemory("remote.example:9001", None, print, identify=lambda: "hotel")
        self.events: list[Event] = []
        self.settings = OriginSettings(
            remote=HostPort("remote.example", 9001),
            services=(ServiceSettings(target=HostPort("localhost", 8000), check=check),),
            token=token,
            name="box",
            grace=30.0,
        )
        self.origin = Origin(
            self.settings,
            emit=self.events.append,
            rng=random.Random(7),
            watch=self.watch,
            path_memory=self.path_memory,
        )
        monkeypatch.setattr(connector, "RemoteAddresses", partial(OneAddress, self))

    def watch(self, loop, changed) -> OriginScenario:
        """Be the origin's network monitor too."""
        self.change = changed
        return self

    def close(self) -> None:
        """Stop monitoring the network."""

    async def dial(self, make_session, time_limit) -> OriginSession:
        self.time_limits.append(time_limit)
        self.attempts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        if self.refusal is not None:
            raise self.refusal
        if not self.reachable:
            raise LinkFailed("no answer within 10 s")
        session = make_session()
        near, _ = join(session, self.house.session())
        near.path_kind = self.path
        self.links.append(near)
        return session

    async def up(self) -> OriginScenario:
        await self.origin.start()
        await seconds(0.1)
        assert len(self.established) == 1
        return self

    @property
    def link(self) -> FakeLink:
        """The newest link, the origin's end."""
        return self.links[-1]

    @property
    def established(self) -> list[LinkEstablished]:
        """One event for each link that was established."""
        return of_type(self.events, LinkEstablished)

    @property
    def failures(self) -> list[str]:
        """The reported reasons of failed attempts."""
        return [event.reason for event in of_type(self.events, LinkAttemptFailed)]

    async def client(self):
        client = self.house.client()
        await settle()
        return client

    def go_dark(self) -> None:
        """Cut the network: nothing arrives, both ends notice, and new links fail."""
        self.reachable = False
        for end in (self.link, self.link.other):
            end.freeze()
            end.go_silent()

    def light_up(self) -> None:
        """Restore the network and the link."""
        self.reachable = True
        for end in (self.link, self.link.other):
            end.thaw()
            end.come_back()

    async def end(self) -> None:
        self.origin.abort()
        await self.origin.wait_closed()
        await self.close_links()

    async def close_links(self) -> None:
        for link in self.links:
            link.close()
            link.other.close()
        await settle()
