"""Lists of services that follow a hello, and how the remote judges them."""

from __future__ import annotations

import pytest
from role_doubles import House, Tunnel, of_type
from stranger import Stranger, hello

from quictunnel.events import OriginConnected, OriginRejected, ServicesChanged
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import MAX_SERVICES, Service, Services, Welcome
from quictunnel.protocol.service_list import MAX_LISTED, ServiceListJoiner, split_list
from quictunnel.remote.session import RIVAL_ANSWERS_WITHIN
from testkit.clock import seconds, settle, virtual_time

NAMES = [f"s{number}" for number in range(1000)]


def services(*names: str) -> list[Service]:
    return [Service(name=name) for name in names]


class ManyServices(Stranger):
    """An origin whose complete list of services follows its hello."""

    def __init__(self, house: House, *first: str, **fields) -> None:
        super().__init__(house)
        self.say(hello(services=services(*first or ("s0",)), services_follow=True, **fields))

    def ask(self, *names: str) -> None:
        self.say(*split_list(services(*names)))

    def lists(self) -> list[Services]:
        """The complete lists that have been answered."""
        joiner = ServiceListJoiner()
        parts = [answer for answer in self.answers if isinstance(answer, Services)]
        return [whole for part in parts if (whole := joiner.add(part)) is not None]


def granted(answer: Services) -> list[str]:
    return [service.name for service in answer.services]


@virtual_time
async def test_a_thousand_services_are_granted():
    house = House(*NAMES)
    stranger = ManyServices(house, *NAMES[:MAX_SERVICES])
    await settle()
    (welcome,) = stranger.answers
    assert isinstance(welcome, Welcome)
    assert (welcome.services, welcome.refused, welcome.max_services) == ([], [], MAX_LISTED)
    assert house.registry.find("s0") is None
    stranger.ask(*NAMES)
    await settle()
    (answer,) = stranger.lists()
    assert granted(answer) == NAMES
    assert len(stranger.answers) == 1 + len(split_list(answer.services))
    assert {house.registry.find(name) for name in NAMES} == {stranger.remote}
    assert [event.services for event in of_type(house.events, OriginConnected)] == [()]
    assert [event.services for event in of_type(house.events, ServicesChanged)] == [tuple(NAMES)]


@virtual_time
async def test_each_of_a_thousand_services_is_refused_with_a_reason():
    house = House("s0")
    stranger = ManyServices(house)
    stranger.ask(*NAMES)
    await settle()
    (answer,) = stranger.lists()
    assert granted(answer) == ["s0"]
    assert [refused.name for refused in answer.refused] == NAMES[1:]


@virtual_time
async def test_services_beyond_the_hello_are_enough_for_a_link():
    house = House("s999")
    stranger = ManyServices(house, *NAMES[:MAX_SERVICES])
    stranger.ask(*NAMES)
    await settle()
    assert stranger.lost is None
    assert granted(*stranger.lists()) == ["s999"]


@virtual_time
async def test_an_origin_that_gets_nothing_is_closed_as_one_with_a_short_list_is_refused():
    house = House("web")
    stranger = ManyServices(house)
    stranger.ask(*NAMES)
    await settle()
    assert stranger.code == Code.NOT_ALLOWED
    assert stranger.lost.reason == "no place for s0"
    assert [event.reason for event in of_type(house.events, OriginRejected)] == ["no place for s0"]


@virtual_time
async def test_an_origin_may_ask_for_nothing_after_its_hello():
    house = House("s0")
    stranger = ManyServices(house)
    stranger.ask()
    await settle()
    assert stranger.lost is None
    assert stranger.lists() == [Services(services=[])]
    stranger.ask("s0")
    await settle()
    assert granted(stranger.lists()[1]) == ["s0"]


@virtual_time
async def test_a_list_takes_effect_with_its_last_part():
    house = House(*NAMES)
    stranger = ManyServices(house)
    parts = split_list(services(*NAMES))
    stranger.say(*parts[:-1])
    stranger.remote.judge_again()  # the settings of the remote have changed
    await settle()
    assert stranger.lists() == []
    assert house.registry.find("s0") is None
    stranger.say(parts[-1])
    await settle()
    assert granted(*stranger.lists()) == NAMES


@pytest.mark.parametrize(
    "messages",
    [
        [Services(services=[], part=2, parts=2)],
        [Services(services=[], part=1, parts=2), Services(services=[])],
        [Services(services=services(*NAMES[:128]), part=n, parts=64) for n in range(1, 10)],
    ],
)
def test_a_list_that_breaks_the_rules_closes_the_link(messages):
    @virtual_time
    async def story():
        stranger = ManyServices(House("s0"))
        stranger.say(*messages)
        await settle()
        assert stranger.code == Code.PROTOCOL_VIOLATION

    story()


@virtual_time
async def test_an_origin_that_does_not_answer_loses_services_to_a_list_too():
    house = House("s0", "s1")
    dead = await Tunnel(house, "s0", name="dead").up()
    await Tunnel(house, "s1", name="alive").up()
    dead.far.freeze()
    stranger = ManyServices(house)
    stranger.ask("s0", "s1")
    await settle()
    assert stranger.lists() == []
    await seconds(RIVAL_ANSWERS_WITHIN)
    (answer,) = stranger.lists()
    assert granted(answer) == ["s0"]
    assert [refused.name for refused in answer.refused] == ["s1"]
    assert dead.far.code == Code.TAKEN_OVER


@virtual_time
async def test_a_list_that_comes_while_rivals_are_asked_replaces_the_first_one():
    house = House("s0", "s1")
    dead = await Tunnel(house, "s0", name="dead").up()
    dead.far.freeze()
    stranger = ManyServices(house)
    stranger.ask("s0")
    await settle()
    stranger.ask("s1")
    await seconds(RIVAL_ANSWERS_WITHIN)
    assert granted(*stranger.lists()) == ["s1"]


@virtual_time
async def test_a_list_does_not_help_a_second_origin_of_the_same_name():
    house = House(*NAMES)
    await Tunnel(house, "s0", instance="first").up()
    stranger = ManyServices(house, instance="second")
    await settle()
    assert stranger.answers[0].code == Code.SERVICE_TAKEN
