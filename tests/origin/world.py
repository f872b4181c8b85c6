"""An origin in virtual time, and a remote that is reachable or not."""

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


class OriginScenario:
    """An origin, and a remote that is reachable or not."""

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

    def watch(self, loop, changed) -> OriginScenario:
        """Take the place of the network monitor."""
        self.change = changed
        return self

    def close(self) -> None:
        """End as a network monitor."""

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

    async def up(self) -> OriginScenario:
        await self.origin.start()
        await seconds(0.1)
        assert len(self.ready) == 1
        return self

    @property
    def link(self) -> FakeLink:
        """The origin's end of the newest link."""
        return self.links[-1]

    async def client(self):
        client = self.house.client()
        await settle()
        return client

    def go_dark(self) -> None:
        """Cut the network. Both ends detect silence, and the remote is unreachable."""
        self.reachable = False
        for end in (self.link, self.link.other):
            end.freeze()
            end.go_silent()

    def light_up(self) -> None:
        """Repair the network, so that the link recovers."""
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
