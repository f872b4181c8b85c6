"""What is logged, and told to the role, of a link that falls silent, comes back, moves or dies."""

from __future__ import annotations

import pytest
from fake_link import FakeLink
from role_doubles import House, Tunnel, facts, listen_to_logs

from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.session.link_reporter import SETTLED, Back, LinkState, Lost, Silent
from testkit.clock import seconds, settle, virtual_time

ELSEWHERE = Address("203.0.113.9", 1234)


class Watched(Tunnel):
    """A tunnel that stands, and what each end has told of its link."""

    def __init__(self) -> None:
        super().__init__(House())
        self.told: dict[str, list[LinkState]] = {"origin": [], "remote": []}
        self.origin.states._told = self.told["origin"].append
        self.remote.states._told = self.told["remote"].append

    def silence(self, silent_for: float = 0.0) -> None:
        for end in (self.near, self.far):
            end.freeze()
            end.go_silent(silent_for)

    def return_from(self, address: Address) -> None:
        self.near.local = self.far.peer = address
        for end in (self.near, self.far):
            end.thaw()
            end.come_back()

    def move_to(self, address: Address) -> None:
        self.near.local = self.far.peer = address
        for end in (self.near, self.far):
            end.protocol.link_moved()


def told_over(story):
    """Run a story with a tunnel that stands and serves three clients."""

    async def run():
        tunnel = Watched()
        await tunnel.up()
        for port in range(3):
            tunnel.house.client(port=6000 + port)
        await settle()
        try:
            await story(tunnel)
        finally:
            tunnel.near.close()
            tunnel.far.close()
            await settle()

    return virtual_time(run)


@pytest.fixture(autouse=True)
def _logs(caplog):
    listen_to_logs(caplog)


def test_silence_and_its_end_are_said_at_both_ends(caplog):
    @told_over
    async def story(tunnel):
        tunnel.silence()
        await seconds(42)
        tunnel.return_from(ELSEWHERE)
        await settle()
        silent = Silent(silent_for=0.0, streams=3, hold_left=900.0)
        assert tunnel.told == {
            "origin": [silent, Back(42.0, "203.0.113.9", "127.0.0.1", 3)],
            "remote": [silent, Back(42.0, "203.0.113.9:1234", "192.0.2.1:1002", 3)],
        }

    story()
    for message, level in (("link silent", "WARNING"), ("link back", "INFO")):
        records = [record for record in caplog.records if record.getMessage() == message]
        assert [record.levelname for record in records] == [level] * 2
        assert {record.name for record in records} == {"quictunnel.origin", "quictunnel.remote"}
    back = facts(caplog, "link back")
    assert all((fact["after"], fact["streams"]) == (42.0, 3) for fact in back)
    assert {fact["was"] for fact in back} == {"127.0.0.1", "192.0.2.1:1002"}
    assert {fact.get("origin") for fact in back} == {None, "box"}


def test_a_silence_on_one_address_names_it_once(caplog):
    @told_over
    async def story(tunnel):
        tunnel.silence()
        await seconds(5)
        tunnel.return_from(tunnel.near.local)
        await settle()
        assert tunnel.told["origin"][-1] == Back(5.0, "127.0.0.1", None, 3)

    story()
    assert facts(caplog, "link moved") == []


def test_it_counts_from_the_last_word_that_was_heard(caplog):
    @told_over
    async def story(tunnel):
        tunnel.silence(silent_for=7.5)
        await settle()
        assert tunnel.told["origin"] == [Silent(7.5, 3, 892.5)]
        tunnel.return_from(ELSEWHERE)

    story()
    assert facts(caplog, "link back")[0]["after"] == 7.5


def test_a_long_silence_is_said_again_now_and_then(caplog):
    @told_over
    async def story(tunnel):
        tunnel.near.hold = 86400.0
        tunnel.near.go_silent(2.5)
        await seconds(3600 * 2)
        tunnel.near.come_back()
        await seconds(3600)
        assert len(tunnel.told["origin"]) == 2, "for the log alone"

    story()
    again = facts(caplog, "link still silent")
    assert [fact["silent_for"] for fact in again] == [60, 300, *range(900, 7201, 900)]
    assert again[0]["hold_left"] == 86340
    assert again[0]["streams"] == 3


def test_a_move_without_silence_is_said_once_it_has_settled(caplog):
    @told_over
    async def story(tunnel):
        for port in range(50):
            tunnel.move_to(Address("203.0.113.9", port))
            await seconds(SETTLED / 40)
        await seconds(SETTLED)
        assert tunnel.told == {"origin": [], "remote": []}

    story()
    moves = facts(caplog, "link moved")
    (at_origin,) = (fact for fact in moves if "remote" in fact)
    assert (at_origin["address"], at_origin["was"]) == ("203.0.113.9", "127.0.0.1")
    first, last = (fact for fact in moves if "remote" not in fact)
    assert first["was"] == "192.0.2.1:1002"
    assert (last["address"], last["was"]) == ("203.0.113.9:49", first["address"])


def test_a_move_and_back_is_nothing(caplog):
    @told_over
    async def story(tunnel):
        here = tunnel.far.peer
        tunnel.far.peer = ELSEWHERE
        tunnel.remote.link_moved()
        tunnel.far.peer = here
        tunnel.remote.link_moved()
        await seconds(2 * SETTLED)

    story()
    assert facts(caplog, "link moved") == []


def test_a_hold_that_is_over_is_told_at_both_ends(caplog):
    @told_over
    async def story(tunnel):
        tunnel.silence()
        await seconds(900)
        tunnel.near.die()
        tunnel.far.die()
        await settle()
        for states in tunnel.told.values():
            assert states[-1] == Lost("nothing heard for the whole hold", 900.0)
        await seconds(3600)

    story()
    assert facts(caplog, "link still silent")[-1]["silent_for"] <= 900
    endings = [str(fact["ending"]) for fact in facts(caplog, "client out")]
    assert endings == ["nothing heard for the whole hold"] * 6


def test_a_link_that_ends_without_silence_is_lost_only_where_it_was_not_closed():
    @told_over
    async def story(tunnel):
        tunnel.far.close(Code.GOODBYE, "the remote is shutting down")
        await settle()
        assert tunnel.told == {
            "origin": [Lost("the remote is shutting down", None)],
            "remote": [],
        }

    story()


def test_a_silent_link_that_is_closed_at_this_end_is_lost_all_the_same():
    @told_over
    async def story(tunnel):
        tunnel.silence()
        tunnel.remote.abort(Code.TAKEN_OVER)
        await settle()
        assert tunnel.told["remote"][1:] == [Lost("closed by us", 0.0)]

    story()


def test_who_has_not_been_let_in_has_no_states(caplog):
    @virtual_time
    async def story():
        tunnel = Tunnel(House())
        for end in (tunnel.near, tunnel.far):
            assert isinstance(end, FakeLink)
            end.protocol.link_moved()
            end.go_silent()
            end.come_back()
        await seconds(4)
        tunnel.near.close()
        tunnel.far.close()
        await settle()

    story()
    messages = [record.getMessage() for record in caplog.records]
    assert not [message for message in messages if message.startswith("link ")]
