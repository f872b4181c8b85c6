"""Which origin serves which service: claims, take-over, silence, several services."""

from __future__ import annotations

import pytest

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from quictunnel.remote.registry import Identity, Registry
from quictunnel.remote.superseded import MAX_INSTANCES, MAX_ORIGINS, SupersededInstances

LAPTOP, DESKTOP = Identity("t", "laptop"), Identity("t", "desktop")
STRANGER = Identity("u", "desktop")


class Session:
    is_usable = True


class Fixture:
    def __init__(self) -> None:
        self.usable: list[str] = []
        self.freed: list[str] = []
        self.registry: Registry[Session] = Registry(self.usable.append, self.freed.append)
        self.find = self.registry.find

    def claim(self, *arguments, instance: str = "") -> tuple[Session, ...]:
        """Claim routes that no other origin serves; return the sessions that lost one."""
        claim = self.registry.claim(*arguments, instance=instance)
        assert claim.taken == {}
        return claim.losers


@pytest.fixture
def house():
    return Fixture()


def test_a_service_that_nobody_serves_is_not_found(house):
    assert house.find("web") is None


def test_what_is_claimed_is_found(house):
    session = Session()
    assert house.claim(session, LAPTOP, ["web", "ssh"]) == ()
    assert house.find("web") is house.find("ssh") is session
    assert set(house.registry.routes_of(session)) == {"web", "ssh"}


def test_a_silent_session_is_not_found_but_holds_what_it_has(house):
    session = Session()
    house.claim(session, LAPTOP, ["web"])
    session.is_usable = False
    assert house.find("web") is None
    assert house.registry.routes_of(session) == ("web",)


def test_the_same_origin_takes_over_all_of_its_services(house):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web", "ssh"])
    assert house.claim(new, LAPTOP, ["web"]) == (old,)
    assert house.find("web") is new
    assert house.find("ssh") is None
    assert house.registry.routes_of(old) == ()


def test_a_run_whose_place_another_has_taken_does_not_take_it_back(house):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web"], instance="first")
    house.claim(new, LAPTOP, ["web"], instance="second")
    with pytest.raises(Refused, match="its own --name and port") as caught:
        house.claim(Session(), LAPTOP, ["web"], instance="first")
    assert caught.value.code == Code.TAKEN_OVER
    assert house.find("web") is new
    assert house.claim(Session(), LAPTOP, ["web"], instance="second") == (new,)
    third = Session()
    house.claim(third, LAPTOP, ["web"], instance="third")
    for past in ("first", "second"):
        with pytest.raises(Refused):
            house.claim(Session(), LAPTOP, ["web"], instance=past)
    assert house.find("web") is third


def test_nor_if_its_own_link_was_long_gone(house):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web"], instance="first")
    house.registry.release(old)
    house.claim(new, LAPTOP, ["web"], instance="second")
    with pytest.raises(Refused):
        house.claim(Session(), LAPTOP, ["web"], instance="first")


@pytest.mark.parametrize("way", ["silent", "gone"])
def test_but_it_does_once_the_other_one_is_away(house, way):
    old, new, again = Session(), Session(), Session()
    house.claim(old, LAPTOP, ["web"], instance="first")
    house.claim(new, LAPTOP, ["web"], instance="second")
    if way == "gone":
        house.registry.release(new)
    else:
        new.is_usable = False
    house.claim(again, LAPTOP, ["web"], instance="first")
    assert house.find("web") is again
    with pytest.raises(Refused):
        house.claim(Session(), LAPTOP, ["web"], instance="second")


def test_runs_that_have_no_name_take_over_in_turns(house):
    for _ in range(5):
        session = Session()
        house.claim(session, LAPTOP, ["web"])
        assert house.find("web") is session


def test_few_runs_of_few_origins_are_remembered():
    superseded = SupersededInstances()
    for number in range(MAX_ORIGINS + 100):
        for run in range(MAX_INSTANCES + 10 if number % 100 == 0 else 2):
            superseded.record(number, str(run))
    assert len(superseded._instances) == MAX_ORIGINS
    assert max(map(len, superseded._instances.values())) == MAX_INSTANCES


def test_another_origin_does_not_take_a_route_that_is_served(house):
    holder, other = Session(), Session()
    house.claim(holder, LAPTOP, ["web"])
    claim = house.registry.claim(other, DESKTOP, ["ssh", "web"], instance="")
    assert (claim.taken, claim.losers) == ({"web": "origin 'laptop'"}, ())
    with pytest.raises(Refused, match=r"^another origin already serves this place") as caught:
        house.claim(Session(), STRANGER, ["web"])
    assert caught.value.code == Code.SERVICE_TAKEN
    assert house.find("web") is holder
    assert house.find("ssh") is other


def test_a_refused_claim_leaves_the_predecessor_in_its_place(house):
    holder, old, new = Session(), Session(), Session()
    house.claim(holder, LAPTOP, ["web"])
    house.claim(old, DESKTOP, ["ssh"])
    with pytest.raises(Refused):
        house.claim(new, DESKTOP, ["web"])
    assert house.find("ssh") is old


def test_a_route_that_nobody_serves_any_more_is_reported(house):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web", "ssh"])
    house.claim(new, LAPTOP, ["ssh", "git"])
    assert house.freed == ["web"]
    house.claim(new, LAPTOP, ["ssh"])
    house.registry.release(new)
    assert house.freed == ["web", "git", "ssh"]
    assert not house.registry.is_served("ssh")


def test_another_origin_takes_the_service_of_a_silent_one_and_only_that(house):
    holder, other = Session(), Session()
    house.claim(holder, LAPTOP, ["web", "ssh"])
    holder.is_usable = False
    assert house.claim(other, DESKTOP, ["web"]) == (holder,)
    assert house.registry.routes_of(holder) == ("ssh",)


def test_two_origins_serve_two_services(house):
    web, ssh = Session(), Session()
    house.claim(web, LAPTOP, ["web"])
    house.claim(ssh, DESKTOP, ["ssh"])
    assert house.find("web") is web
    assert house.find("ssh") is ssh


def test_a_second_claim_of_a_session_replaces_its_first(house):
    session = Session()
    house.claim(session, LAPTOP, ["web", "ssh"])
    assert house.claim(session, LAPTOP, ["ssh", "db"]) == ()
    assert house.find("web") is None
    assert house.find("db") is session


def test_what_is_released_is_free_for_others(house):
    session = Session()
    house.claim(session, LAPTOP, ["web"])
    house.registry.release(session)
    house.registry.release(session)
    assert house.find("web") is None
    assert house.claim(Session(), DESKTOP, ["web"]) == ()


def test_a_loser_that_ends_late_takes_nothing_with_it(house):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web"])
    house.claim(new, LAPTOP, ["web"])
    house.registry.release(old)
    assert house.find("web") is new
    third = Session()
    assert house.claim(third, LAPTOP, ["web"]) == (new,)


def test_waiting_clients_hear_of_each_service(house):
    session = Session()
    house.claim(session, LAPTOP, ["web", "ssh"])
    house.registry.notify_usable(session)
    assert sorted(house.usable) == ["ssh", "web"]
