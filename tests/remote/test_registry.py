"""Which origin serves which service: claims, take-over, silence, several services."""

from __future__ import annotations

import pytest

from quictunnel.errors import Refused
from quictunnel.protocol.codes import Code
from quictunnel.remote.registry import Identity, Registry
from quictunnel.remote.sharing import ALONE, BALANCE, FAILOVER, Sharing

LAPTOP, DESKTOP = Identity("t", "laptop"), Identity("t", "desktop")
STRANGER = Identity("u", "desktop")


class Session:
    is_usable = True

    def __init__(self) -> None:
        self.clients = 0

    def clients_at(self, _route: str) -> int:
        return self.clients


def routes(names, sharing=ALONE):
    return dict.fromkeys(names, sharing)


class Fixture:
    def __init__(self) -> None:
        self.usable: list[str] = []
        self.freed: list[str] = []
        self.registry: Registry[Session] = Registry(self.usable.append, self.freed.append)
        self.find = self.registry.find

    def claim(
        self, session, identity, names, sharing=ALONE, *, instance: str = "only", gone=()
    ) -> tuple[Session, ...]:
        """Claim routes that no other origin serves; return the sessions that lost one."""
        asked = routes(names, sharing)
        claim = self.registry.claim(session, identity, asked, instance=instance, gone=gone)
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


@pytest.mark.parametrize("instances", [("first", "second"), ("first", ""), ("", "")])
def test_another_process_of_the_same_origin_does_not_take_over(house, instances):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web"], instance=instances[0])
    assert house.registry.rivals(LAPTOP, routes(["web"]), instance=instances[1]) == (old,)
    with pytest.raises(
        Refused, match=r"^an origin 'laptop' with this token is connected"
    ) as caught:
        house.claim(new, LAPTOP, ["web"], instance=instances[1])
    assert caught.value.code == Code.SERVICE_TAKEN
    assert house.find("web") is old


@pytest.mark.parametrize("way", ["silent", "unanswered", "released"])
def test_but_it_does_once_the_other_one_is_away(house, way):
    old, new = Session(), Session()
    house.claim(old, LAPTOP, ["web"], instance="first")
    if way == "silent":
        old.is_usable = False
    elif way == "released":
        house.registry.release(old)
    rivals = house.registry.rivals(LAPTOP, routes(["web"]), instance="second")
    assert rivals == ((old,) if way == "unanswered" else ())
    house.claim(new, LAPTOP, ["web"], instance="second", gone=rivals)
    assert house.find("web") is new
    assert house.registry.predecessor(LAPTOP) is new


def test_the_rivals_of_a_claim(house):
    laptop, desktop, silent = Session(), Session(), Session()
    house.claim(laptop, LAPTOP, ["web"])
    house.claim(desktop, DESKTOP, ["ssh", "git"])
    house.claim(silent, STRANGER, ["mail"])
    silent.is_usable = False
    asked = routes(["web", "ssh", "git", "mail", "free"])
    assert house.registry.rivals(LAPTOP, asked, instance="only") == (desktop,)
    assert house.registry.rivals(LAPTOP, asked, instance="other") == (laptop, desktop)
    assert house.registry.rivals(STRANGER, routes(["web"]), instance="other") == (laptop,)
    claim = house.registry.claim(
        Session(), STRANGER, routes(["web", "ssh"]), instance="other", gone=[laptop]
    )
    assert (set(claim.taken), claim.losers) == ({"ssh"}, (silent, laptop))


def test_another_origin_does_not_take_a_route_that_is_served(house):
    holder, other = Session(), Session()
    house.claim(holder, LAPTOP, ["web"])
    claim = house.registry.claim(other, DESKTOP, routes(["ssh", "web"]), instance="")
    assert claim.losers == ()
    assert claim.taken["web"].startswith("origin 'laptop' already serves this place; stop that one")
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


# Shared routes

FAILING_OVER, BALANCED = Sharing(FAILOVER), Sharing(BALANCE)
NAS = Identity("t", "nas")


def test_origins_share_a_route(house):
    first, second, third = Session(), Session(), Session()
    for session, identity in ((first, LAPTOP), (second, DESKTOP), (third, NAS)):
        assert house.registry.rivals(identity, routes(["web"], BALANCED), instance="only") == ()
        assert house.claim(session, identity, ["web"], BALANCED) == ()
    assert house.registry.sessions_at("web") == (first, second, third)
    assert house.registry.origins_at("web") == {LAPTOP, DESKTOP, NAS}
    assert {house.find("web") for _ in range(3)} == {first, second, third}
    for session in (first, second):
        house.registry.release(session)
    assert house.find("web") is third
    assert house.freed == []
    house.registry.release(third)
    assert house.freed == ["web"]


def test_a_silent_origin_keeps_its_place_in_a_shared_route(house):
    first, second = Session(), Session()
    house.claim(first, LAPTOP, ["web"], FAILING_OVER)
    first.is_usable = False
    assert house.find("web") is None
    assert house.claim(second, DESKTOP, ["web"], FAILING_OVER) == ()
    assert house.find("web") is second
    first.is_usable = True
    assert house.find("web") is first


def test_a_new_link_of_an_origin_comes_last_and_a_new_list_does_not(house):
    first, second, again = Session(), Session(), Session()
    house.claim(first, LAPTOP, ["web"], FAILING_OVER)
    house.claim(second, DESKTOP, ["web"], FAILING_OVER)
    house.claim(first, LAPTOP, ["web", "ssh"], FAILING_OVER)
    assert house.find("web") is first
    assert house.claim(again, LAPTOP, ["web"], FAILING_OVER) == (first,)
    assert house.find("web") is second
    assert house.registry.sessions_at("web") == (second, again)
    assert house.freed == ["ssh"]


@pytest.mark.parametrize(
    ("there", "asked", "identity", "sentence"),
    [
        (
            ALONE,
            BALANCED,
            DESKTOP,
            "origin 'laptop' already serves this place alone; start that one",
        ),
        (
            BALANCED,
            ALONE,
            DESKTOP,
            "with share 'balance'; start this origin with --share balance, or",
        ),
        (
            BALANCED,
            FAILING_OVER,
            DESKTOP,
            "with share 'balance', not 'failover'; start this origin",
        ),
        (BALANCED, BALANCED, STRANGER, "another origin already serves this place; stop that one"),
    ],
)
def test_who_shares_in_another_way_is_refused_while_the_holder_answers(
    house, there, asked, identity, sentence
):
    holder, other = Session(), Session()
    house.claim(holder, LAPTOP, ["web"], there)
    assert house.registry.rivals(identity, routes(["web"], asked), instance="") == (holder,)
    with pytest.raises(Refused, match=sentence) as caught:
        house.claim(other, identity, ["web"], asked)
    assert caught.value.code == Code.SERVICE_TAKEN
    assert house.find("web") is holder
    holder.is_usable = False
    assert house.claim(other, identity, ["web"], asked) == (holder,)
    assert house.registry.sessions_at("web") == (other,)
    assert house.freed == []


def test_all_origins_of_a_shared_route_must_be_away_for_another_one(house):
    first, second, other = Session(), Session(), Session()
    house.claim(first, LAPTOP, ["web"], BALANCED)
    house.claim(second, NAS, ["web"], BALANCED)
    first.is_usable = False
    claim = house.registry.claim(
        other, DESKTOP, routes(["web"]), instance="", may_be_empty=True, gone=[]
    )
    assert "origin 'nas'" in claim.taken["web"]
    assert house.claim(other, DESKTOP, ["web"], gone=[second]) == (first, second)
    assert house.registry.sessions_at("web") == (other,)


def test_the_only_origin_of_a_route_may_share_it_in_another_way(house):
    first, second = Session(), Session()
    house.claim(first, LAPTOP, ["web"])
    for sharing in (BALANCED, FAILING_OVER):
        house.claim(first, LAPTOP, ["web"], sharing)
    house.claim(second, DESKTOP, ["web"], FAILING_OVER)
    claim = house.registry.claim(
        first, LAPTOP, routes(["web"], BALANCED), instance="only", may_be_empty=True
    )
    assert list(claim.taken) == ["web"]
    assert house.registry.sessions_at("web") == (second,)
    assert house.registry.routes_of(first) == ()


def test_a_withdrawn_route_is_taken_from_all_that_share_it(house):
    first, second = Session(), Session()
    house.claim(first, LAPTOP, ["web", "ssh"], BALANCED)
    house.claim(second, DESKTOP, ["web"], BALANCED)
    assert house.registry.withdraw("web") == (first, second)
    assert house.registry.withdraw("web") == ()
    assert house.find("web") is None
    assert house.registry.routes_of(first) == ("ssh",)
    assert set(house.freed) == {"web"}
