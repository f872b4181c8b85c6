"""A world for the origin as a whole: a remote that can be reached or not, in virtual time."""

from __future__ import annotations

import asyncio
import random

from fake_link import FakeLink, join
from role_doubles import TOKEN, House

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkFailed, Refused
from quictunnel.origin import connector as reaching
from quictunnel.origin.client import Origin
from testkit.clock import seconds, settle


class World:
    """A remote that can be reached or not, and an origin that tries to."""

    def __init__(self, monkeypatch, *, token=TOKEN) -> None:
        self.house: House = House()
        self.reachable = True
        self.refusal: Refused | None = None
        self.attempts: list[float] = []
        self.within: list[float] = []
        self.links: list[FakeLink] = []
        self.ready: list[tuple] = []
        self.origin = Origin(
            OriginSettings(
                remote=HostPort("remote.example", 9001),
                origin=HostPort("localhost", 8000),
                token=token,
                name="box",
                grace=30.0,
            ),
            on_ready=self.ready.append,
            rng=random.Random(7),
            watch=self.watch,
        )
        monkeypatch.setattr(reaching, "connect", self.connect)

    def watch(self, loop, changed) -> World:
        """Be the watch over networks as well."""
        self.change = changed
        return self

    def close(self) -> None:
        """Watch over networks no more."""

    async def connect(self, target, *, make_session, client_tls, settings, within):
        self.within.append(within)
        self.attempts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        if self.refusal is not None:
            raise self.refusal
        if not self.reachable:
            raise LinkFailed("no answer within 10 s")
        session = make_session()
        near, _ = join(session, self.house.session())
        self.links.append(near)
        return session

    async def up(self) -> World:
        await self.origin.start()
        await seconds(0.1)
        assert len(self.ready) == 1
        return self

    @property
    def link(self) -> FakeLink:
        """The newest link, the origin's end."""
        return self.links[-1]

    async def client(self):
        client = self.house.client()
        await settle()
        return client

    def go_dark(self) -> None:
        """The network goes: nothing arrives, both ends notice, nobody can be reached."""
        self.reachable = False
        for end in (self.link, self.link.other):
            end.freeze()
            end.go_silent()

    def light_up(self) -> None:
        """The network is back, and the link with it."""
        self.reachable = True
        for end in (self.link, self.link.other):
            end.thaw()
            end.come_back()

    async def end(self) -> None:
        self.origin.abort()
        await self.origin.wait_closed()
        for link in self.links:
            link.close()
            link.other.close()
        await settle()
