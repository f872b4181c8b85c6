"""The origin keeps a link, whatever happens: back-off, silence, take-over, refusal, drain."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest
from fake_link import FakeLink, join
from role_doubles import OTHER_TOKEN, TOKEN, House, Tunnel, facts, listen_to_logs
from virtual_time import seconds, settle, virtual_time

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkFailed, Refused
from quictunnel.origin import reaching
from quictunnel.origin.connect import ATTEMPT_TIMEOUT
from quictunnel.origin.role import Origin
from quictunnel.protocol.codes import Code


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


@pytest.fixture
def world(monkeypatch):
    """A story told in virtual time, with a world of its own that is tidied up behind it."""

    def tell(story, **kwargs):
        @virtual_time
        async def run():
            world = World(monkeypatch, **kwargs)
            # No origin server is there in these stories: nobody ever answers.
            monkeypatch.setattr(reaching.Dialler, "dial", lambda *_: asyncio.Future())
            await story(world)
            await world.end()

        run()

    return tell


def test_it_says_when_it_is_ready(world):
    async def story(world):
        await world.up()
        ((service,),) = world.ready
        assert (service.name, service.address) == ("default", "198.51.100.1:9000")

    world(story)


def test_it_tries_until_the_remote_is_there(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(60)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts)]
        assert 0.1 < gaps[0] < 0.4
        assert max(gaps) < 0.8
        world.reachable = True
        await seconds(1)
        assert len(world.ready) == 1

    world(story)


def test_where_nobody_has_answered_for_long_it_tries_seldom(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(3600)
        gaps = [later - earlier for earlier, later in pairwise(world.attempts)]
        assert min(gaps[-100:]) > 15
        assert max(gaps) < 25
        world.reachable = True
        await seconds(30)
        assert len(world.ready) == 1

    world(story)


def test_the_same_failure_is_one_line(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(60)
        assert len(world.attempts) > 4

    world(story)
    (fact,) = facts(caplog, "no link, trying on")
    assert str(fact["reason"]) == "no answer within 10 s"


def test_a_failure_that_lasts_is_said_again_and_so_is_it_after_another_link(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(2 * reaching.COMPLAIN_AGAIN)
        assert len(facts(caplog, "no link, trying on")) == 2
        world.reachable = True
        await seconds(30)
        world.reachable = False
        world.link.die()
        await seconds(60)
        assert len(facts(caplog, "no link, trying on")) == 3

    world(story)


def test_reasons_that_take_turns_are_said_once_each(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        for number in range(4):
            reason = LinkFailed(f"reason {number % 2}")
            world.origin._reaching.complain(reason)

    world(story)
    assert [fact["reason"] for fact in facts(caplog, "no link, trying on")] == [
        "reason 0",
        "reason 1",
    ]


def test_ever_new_reasons_are_not_remembered_for_ever(world):
    async def story(world):
        for number in range(1000):
            world.origin._reaching.complain(LinkFailed(f"reason {number}"))
        assert len(world.origin._reaching._complaints) <= reaching.MOST_COMPLAINTS

    world(story)


def test_the_first_try_is_short_enough_to_say_within_5_s_that_nobody_answers(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(20)
        assert world.within[0] < 4
        assert set(world.within[1:]) == {ATTEMPT_TIMEOUT}

    world(story)


def test_a_lost_link_is_made_anew(world):
    async def story(world):
        await world.up()
        world.link.die()
        await seconds(1)
        assert len(world.ready) == 2
        assert world.house.registry.find("default") is not None

    world(story)


def test_a_link_that_the_remote_has_forgotten_is_made_anew_at_once(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        await world.up()
        client = await world.client()
        await seconds(60)
        world.house = House(instance="second")
        world.link.be_forgotten()
        world.link.other.be_forgotten()
        await seconds(0.06)  # a connection takes 0.05
        assert client.was_reset
        assert len(world.ready) == 2

    world(story)
    (lost,) = facts(caplog, "link lost")
    assert lost["reason"] == "the remote does not know the link any more, as after a restart"
    assert facts(caplog, "link stands")[1]["restarted"] is True


def test_a_silent_link_that_the_remote_has_forgotten_is_made_anew_at_once(world):
    async def story(world):
        await world.up()
        await seconds(60)
        world.go_dark()
        await seconds(600)
        world.reachable = True
        world.house = House(instance="second")
        world.link.be_forgotten()
        await seconds(0.06)
        assert len(world.ready) == 2
        await seconds(60)
        assert len(world.ready) == 2

    world(story)


def test_a_remote_that_forgets_every_link_is_not_hammered(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed:
                world.link.be_forgotten()
                world.link.other.be_forgotten()
        assert len(world.links) < 12

    world(story)


def test_after_an_hour_without_the_remote_a_link_stands_soon(world):
    """The hold is over at both ends by then, and every client was reset."""

    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        await seconds(900)
        assert not client.is_over
        world.link.die()
        world.link.other.die()
        await settle()
        assert client.was_reset
        await seconds(2700)
        assert len(world.ready) == 1
        world.reachable = True
        await seconds(25)
        assert len(world.ready) == 2
        assert not (await world.client()).is_over

    world(story)


def test_a_link_that_stood_resets_the_back_off_and_one_that_did_not_does_not(world):
    async def story(world):
        await world.up()
        for _ in range(6):
            world.link.close()  # at once, again and again
            await seconds(20)
            world.links[-1].close()
            await settle()
        assert len(world.ready) >= 7

        await seconds(30)
        world.link.die()
        await seconds(0.5)
        assert not world.link.is_closed

    world(story)


def test_another_network_is_tried_at_once(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(120)
        before = len(world.attempts)
        while len(world.attempts) == before:
            await seconds(0.1)
        await seconds(2)  # of the 16 and more until the next
        world.reachable = True
        before = len(world.attempts)
        world.change("the network has changed")
        await seconds(0.1)
        assert len(world.attempts) == before + 1
        assert len(world.ready) == 1

    world(story)


def test_a_remote_that_drops_every_link_is_not_hammered(world):
    async def story(world):
        await world.origin.start()
        for _ in range(600):
            await seconds(0.1)
            if world.links and not world.link.is_closed:
                world.link.other.close(Code.GOODBYE)
        assert len(world.links) < 12

    world(story)


def test_a_refusal_ends_it(world):
    async def story(world):
        await world.origin.start()
        with pytest.raises(Refused) as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.BAD_TOKEN
        world.origin._failure = None

    world(story, token=OTHER_TOKEN)


def test_a_certificate_that_is_not_accepted_ends_it(world):
    async def story(world):
        world.refusal = Refused(Code.BAD_CERTIFICATE, "not the pinned one")
        await world.origin.start()
        with pytest.raises(Refused, match="not the pinned one"):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story)


def test_who_is_taken_over_does_not_come_back(world):
    async def story(world):
        await world.up()
        await Tunnel(world.house).up()
        with pytest.raises(Refused, match="give each its own name") as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.TAKEN_OVER
        await seconds(60)
        assert len(world.attempts) == 1
        world.origin._failure = None

    world(story)


def test_who_was_taken_over_while_it_heard_nothing_is_told_when_it_is_back(world):
    async def story(world):
        await world.up()
        world.go_dark()
        second = await Tunnel(world.house, instance="another run").up()
        world.link.be_forgotten()
        world.reachable = True
        with pytest.raises(Refused, match="give each its own name") as caught:
            await world.origin.wait_closed()
        assert caught.value.code == Code.TAKEN_OVER
        assert not second.far.is_closed
        world.origin._failure = None

    world(story)


# Silence


def test_clients_outlive_a_blackout(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        await seconds(600)
        assert len(world.attempts) > 10  # it tried for a fresh link all the time
        world.light_up()
        await seconds(30)
        assert not client.is_over
        assert len(world.ready) == 1

    world(story)


def test_a_short_silence_makes_no_fresh_link(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(2)
        world.light_up()
        await seconds(30)
        assert len(world.attempts) == 1

    world(story)


def test_the_old_link_has_its_chance_once_a_fresh_one_gets_through(world):
    async def story(world):
        await world.up()
        client = await world.client()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(4)
        assert len(world.links) == 2
        for end in (old, old.other):
            end.thaw()
            end.come_back()
        await seconds(30)
        assert not client.is_over
        assert world.links[1].is_closed
        assert len(world.ready) == 1

    world(story)


def test_an_old_link_that_stays_silent_is_replaced(world):
    async def story(world):
        await world.up()
        client = await world.client()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(8)
        assert old.is_closed
        assert client.was_reset
        assert len(world.ready) == 2
        await seconds(60)
        assert len(world.ready) == 2
        assert world.house.registry.find("default") is not None

    world(story)


@pytest.mark.parametrize("is_heard", [False, True])
def test_word_that_overtakes_the_welcome_of_ones_own_take_over_is_no_defeat(world, is_heard):
    async def story(world):
        await world.up()
        old = world.link
        world.go_dark()
        world.reachable = True
        await seconds(4)
        fresh = world.link
        fresh.other.freeze()  # the welcome is lost, and has to be sent again
        await seconds(4)
        if is_heard:
            old.come_back()
            await settle()
        old.other.thaw()  # that it was taken over arrives
        await settle()
        assert len(world.ready) == 1
        fresh.other.thaw()
        await seconds(30)
        assert len(world.ready) == 2
        assert not fresh.is_closed

    world(story)


def test_a_restarted_remote_is_found_long_before_the_hold_is_over(world, caplog):
    listen_to_logs(caplog)

    async def story(world):
        await world.up()
        world.go_dark()
        world.house = House(instance="second")
        await seconds(30)
        world.reachable = True
        await seconds(30)
        assert len(world.ready) == 2

    world(story)
    assert facts(caplog, "link stands")[1]["restarted"] is True


def test_a_refusal_beside_an_old_link_is_no_verdict_on_it(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.go_dark()
        world.refusal = Refused(Code.BAD_CERTIFICATE, "a hotel's own")
        await seconds(60)
        assert not client.is_over
        world.refusal = None
        world.light_up()
        await seconds(30)
        assert len(world.ready) == 1
        assert not client.is_over

    world(story)


def test_a_silent_link_that_dies_is_made_anew(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(1)
        world.link.die()
        world.reachable = True
        await seconds(2)
        assert len(world.ready) == 2

    world(story)


# The end


def test_a_drain_without_clients_is_over_at_once(world):
    async def story(world):
        await world.up()
        world.origin.drain()
        await world.origin.wait_closed()
        assert world.link.code == Code.GOODBYE

    world(story)


def test_a_drain_waits_for_clients_for_the_grace(world):
    async def story(world):
        await world.up()
        client = await world.client()
        began = asyncio.get_running_loop().time()
        world.origin.drain()
        world.origin.drain()
        await world.origin.wait_closed()
        assert asyncio.get_running_loop().time() - began == pytest.approx(30, abs=3)
        await settle()
        assert client.was_reset

    world(story)


def test_a_drain_without_a_link_is_over_at_once(world):
    async def story(world):
        world.reachable = False
        await world.origin.start()
        await seconds(5)
        world.origin.drain()
        await world.origin.wait_closed()

    world(story)


def test_a_drain_during_the_hello_is_over_at_once(world):
    async def story(world):
        await world.origin.start()
        await asyncio.sleep(0.05)
        world.origin.drain()
        await world.origin.wait_closed()
        assert all(link.is_closed for link in world.links)

    world(story)


def test_a_drain_of_a_silent_link_is_over_with_the_grace(world):
    async def story(world):
        await world.up()
        world.go_dark()
        await seconds(10)
        world.origin.drain()
        await world.origin.wait_closed()
        assert all(link.is_closed for link in world.links)

    world(story)


def test_an_abort_is_over_at_once(world):
    async def story(world):
        await world.up()
        client = await world.client()
        world.origin.drain()
        world.origin.abort()
        await world.origin.wait_closed()
        await settle()
        assert client.was_reset

    world(story)


def test_a_fault_of_ours_surfaces(world):
    async def story(world):
        world.house = None
        await world.origin.start()
        with pytest.raises(AttributeError):
            await world.origin.wait_closed()
        world.origin._failure = None

    world(story)
