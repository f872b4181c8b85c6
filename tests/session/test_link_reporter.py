"""Reports of a link that falls silent, recovers, moves or is lost."""

from __future__ import annotations

from fake_link import FakeLink
from role_doubles import TOKEN, House, Tunnel, of_type

from quictunnel.events import (
    ClientClosed,
    Event,
    LinkDropped,
    LinkMoved,
    LinkRecovered,
    LinkSilent,
    OriginDisconnected,
    PathKind,
    PathReason,
)
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.link_id import link_id
from quictunnel.session.link_reporter import MOVE_DELAY
from quictunnel.session.session import CLOSED_HERE
from testkit.clock import seconds, settle, virtual_time

ELSEWHERE = Address("203.0.113.9", 1234)
BOX = {"origin": "box", "token": TOKEN.id, "link": link_id(b"e" * 32)}


class Watched(Tunnel):
    """An established tunnel, and what each end has reported of its link."""

    def __init__(self) -> None:
        super().__init__(House())

    @property
    def reported(self) -> dict[str, list[Event]]:
        kinds = (LinkSilent, LinkRecovered, LinkMoved, LinkDropped)
        ends = {"origin": self.events, "remote": self.house.events}
        return {
            end: [event for event in events if isinstance(event, kinds)]
            for end, events in ends.items()
        }

    def silence(self, silent_for: float = 0.0) -> None:
        for end in (self.near, self.far):
            end.freeze()
            end.go_silent(silent_for)

    def return_from(self, address: Address) -> None:
        self.near.local = self.far.peer = address
        for end in (self.near, self.far):
            end.thaw()
            end.come_back()

    def move_over(self, path: PathKind, reason: str) -> None:
        """Continue on a path of another kind. Only the origin knows why."""
        self.near.path_kind = self.far.path_kind = path
        self.near.path_reason = reason

    def move_to(self, address: Address) -> None:
        self.near.local = self.far.peer = address
        for end in (self.near, self.far):
            end.protocol.link_moved()


def with_clients(story):
    """Run a test with an established tunnel that serves three clients."""

    async def run() -> None:
        tunnel = Watched()
        await tunnel.up()
        for port in range(3):
            tunnel.house.client(peer=("192.0.2.7", 6000 + port))
        await settle()
        try:
            await story(tunnel)
        finally:
            tunnel.near.close()
            tunnel.far.close()
            await settle()

    return virtual_time(run)


@with_clients
async def test_silence_and_its_end_are_reported_at_both_ends(tunnel):
    tunnel.silence()
    await seconds(42)
    tunnel.return_from(ELSEWHERE)
    await settle()

    def silent(address):
        return LinkSilent(
            **BOX, address=address, silent_for=0.0, clients=3, hold_left=900.0, is_reminder=False
        )

    def recovered(address, previous):
        return LinkRecovered(
            **BOX, address=address, previous_address=previous, silent_for=42.0, clients=3
        )

    assert tunnel.reported == {
        "origin": [silent("127.0.0.1"), recovered("203.0.113.9", "127.0.0.1")],
        "remote": [silent("192.0.2.1:1002"), recovered("203.0.113.9:1234", "192.0.2.1:1002")],
    }


@with_clients
async def test_an_address_that_has_not_changed_is_reported_once(tunnel):
    tunnel.silence()
    await seconds(5)
    tunnel.return_from(tunnel.near.local)
    await seconds(5)
    _, recovered = tunnel.reported["origin"]
    assert (recovered.address, recovered.previous_address) == ("127.0.0.1", None)


@with_clients
async def test_silence_counts_from_the_last_answer(tunnel):
    tunnel.silence(silent_for=7.5)
    await settle()
    (silent,) = tunnel.reported["origin"]
    assert (silent.silent_for, silent.hold_left) == (7.5, 892.5)
    tunnel.return_from(ELSEWHERE)
    await settle()
    assert tunnel.reported["origin"][-1].silent_for == 7.5


@with_clients
async def test_a_long_silence_is_reported_again_from_time_to_time(tunnel):
    tunnel.near.hold = 86400.0
    tunnel.near.go_silent(2.5)
    await seconds(3600 * 2)
    tunnel.near.come_back()
    await seconds(3600)
    first, *again = of_type(tunnel.events, LinkSilent)
    assert not first.is_reminder
    assert all(event.is_reminder for event in again)
    assert [event.silent_for for event in again] == [60, 300, *range(900, 7201, 900)]
    assert (again[0].hold_left, again[0].clients) == (86340, 3)


@with_clients
async def test_a_move_without_silence_is_reported_once_it_has_settled(tunnel):
    for port in range(50):
        tunnel.move_to(Address("203.0.113.9", port))
        await seconds(MOVE_DELAY / 40)
    await seconds(MOVE_DELAY)
    assert tunnel.reported["origin"] == [
        LinkMoved(**BOX, address="203.0.113.9", previous_address="127.0.0.1", clients=3)
    ]
    first, last = tunnel.reported["remote"]
    assert first.previous_address == "192.0.2.1:1002"
    assert (last.address, last.previous_address) == ("203.0.113.9:49", first.address)


@with_clients
async def test_a_move_to_another_kind_of_path_is_reported_with_its_reason(tunnel):
    tunnel.move_over(PathKind.WEBSOCKET, PathReason.UDP_THROTTLED)
    tunnel.move_to(tunnel.near.local)
    await seconds(2 * MOVE_DELAY)
    moved = {end: reported[-1] for end, reported in tunnel.reported.items()}
    change = (PathKind.WEBSOCKET, PathKind.UDP)
    assert [(event.path, event.previous_path) for event in moved.values()] == [change, change]
    assert moved["origin"].path_reason == "UDP loses nearly all packets"
    assert moved["origin"].previous_address is None
    assert moved["remote"].path_reason is None
    tunnel.move_to(ELSEWHERE)
    await seconds(2 * MOVE_DELAY)
    last = tunnel.reported["origin"][-1]
    assert (last.path, last.previous_path, last.path_reason) == (PathKind.WEBSOCKET, None, None)


@with_clients
async def test_a_silence_that_ends_on_another_kind_of_path_is_reported_with_it(tunnel):
    tunnel.silence()
    await seconds(2)
    tunnel.move_over(PathKind.WEBSOCKET, PathReason.UDP_SILENT)
    tunnel.return_from(tunnel.near.local)
    await settle()
    recovered = tunnel.reported["origin"][-1]
    assert isinstance(recovered, LinkRecovered)
    assert (recovered.path, recovered.previous_path) == (PathKind.WEBSOCKET, PathKind.UDP)
    assert recovered.path_reason == "UDP does not answer"


@with_clients
async def test_a_move_and_back_is_not_reported(tunnel):
    here = tunnel.far.peer
    tunnel.far.peer = ELSEWHERE
    tunnel.remote.link_moved()
    tunnel.far.peer = here
    tunnel.remote.link_moved()
    await seconds(2 * MOVE_DELAY)
    assert tunnel.reported == {"origin": [], "remote": []}


@with_clients
async def test_a_hold_that_is_over_is_reported_at_both_ends(tunnel):
    tunnel.silence()
    await seconds(900)
    tunnel.near.die()
    tunnel.far.die()
    await settle()
    for reported in tunnel.reported.values():
        dropped = reported[-1]
        assert isinstance(dropped, LinkDropped)
        assert (dropped.reason, dropped.silent_for) == ("nothing heard for the whole hold", 900.0)
    await seconds(3600)
    for reported in tunnel.reported.values():
        assert isinstance(reported[-1], LinkDropped)
    closed = of_type(tunnel.events + tunnel.house.events, ClientClosed)
    assert [event.reason for event in closed] == ["nothing heard for the whole hold"] * 6


@with_clients
async def test_an_origin_reports_a_link_that_the_remote_closes(tunnel):
    tunnel.far.close(Code.GOODBYE, "the remote was stopped")
    await settle()
    (dropped,) = tunnel.reported["origin"]
    assert (dropped.reason, dropped.silent_for) == ("the remote was stopped", None)
    assert tunnel.reported["remote"] == []


@with_clients
async def test_a_remote_reports_an_origin_that_closes_its_link_as_disconnected_only(tunnel):
    tunnel.near.close(Code.GOODBYE, "the origin was stopped")
    await settle()
    assert tunnel.reported == {"origin": [], "remote": []}
    (disconnected,) = of_type(tunnel.house.events, OriginDisconnected)
    assert disconnected.reason == "the origin was stopped"


@with_clients
async def test_a_silent_link_that_is_closed_at_this_end_is_reported_as_dropped(tunnel):
    tunnel.silence()
    tunnel.remote.abort(Code.TAKEN_OVER)
    tunnel.near.close()
    await settle()
    for end, reason in (("remote", Code.TAKEN_OVER.word), ("origin", CLOSED_HERE)):
        _, dropped = tunnel.reported[end]
        assert (dropped.reason, dropped.silent_for) == (reason, 0.0)


@virtual_time
async def test_nothing_is_reported_before_the_session_is_established():
    tunnel = Watched()
    for end in (tunnel.near, tunnel.far):
        assert isinstance(end, FakeLink)
        end.protocol.link_moved()
        end.go_silent()
        end.come_back()
    await seconds(4)
    tunnel.near.close()
    tunnel.far.close()
    await settle()
    assert tunnel.reported == {"origin": [], "remote": []}
