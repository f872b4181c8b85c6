"""UDP and the WebSocket race for the link, and a failure names both."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.urls import parse_websocket_url
from quictunnel.config.via import Via
from quictunnel.errors import LinkFailed, Refused
from quictunnel.origin import link_dialing
from quictunnel.origin.link_dialing import RemoteAddresses
from quictunnel.origin.remote_websocket import FIRST_PAUSE, MAX_PAUSE, RemoteWebSocket
from quictunnel.protocol.codes import Code
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.settings import ClientTls, LinkSettings
from testkit.clock import virtual_time

URL = parse_websocket_url("wss://vps.example/quictunnel")
UDP_FAILS = LinkFailed("UDP is blocked")
WEBSOCKET_FAILS = LinkFailed("connection refused")
REFUSED = Refused(Code.BAD_CERTIFICATE, "another certificate")


class Opener:
    """Opens nothing: the dialer of these tests does not use it."""

    kind = PathKind.WEBSOCKET


class DialledLink:
    """A link whose peer answers after some seconds, or never."""

    def __init__(self, answers_after: float | None) -> None:
        self.answers_after = answers_after

    def ask(self, within, on_result):
        is_answered = self.answers_after is not None and self.answers_after <= within
        loop = asyncio.get_running_loop()
        loop.call_later(self.answers_after if is_answered else within, on_result, is_answered)


class DialledSession:
    """A session that is only made and aborted."""

    def __init__(self) -> None:
        self.path = ""
        self.was_aborted = False

    def abort(self) -> None:
        self.was_aborted = True


class Network:
    """Takes a time for each kind of path, and then makes a link or raises an error.

    :param udp: the seconds over UDP, and the error or None.
    :param websocket: the same for the WebSocket.
    """

    hosts: ClassVar = ["192.0.2.1", "192.0.2.2"]

    def __init__(self, monkeypatch, udp, websocket) -> None:
        self.udp, self.websocket = udp, websocket
        self.started: list[tuple[str, float]] = []
        self.given: list[dict] = []
        self.sessions: list[DialledSession] = []
        self.lookups = 0
        self.answers_after: float | None = 0.0
        monkeypatch.setattr(link_dialing, "resolve", self.resolve)
        monkeypatch.setattr(link_dialing, "dial", partial(self.dial, "udp"))
        monkeypatch.setattr(link_dialing, "dial_over", partial(self.dial, "websocket"))

    async def resolve(self, _target):
        self.lookups += 1
        return self.hosts[:1]

    async def dial(self, path, _host, _port, *, protocol, **given):
        self.started.append((path, asyncio.get_running_loop().time()))
        self.given.append(given)
        takes, error = self.udp if path == "udp" else self.websocket
        protocol.path = path
        await asyncio.sleep(takes)
        if error is not None:
            raise error
        return DialledLink(self.answers_after)

    def make_session(self):
        self.sessions.append(DialledSession())
        return self.sessions[-1]

    def addresses(self, remote_websocket=None, **more) -> RemoteAddresses:
        return RemoteAddresses(
            HostPort("vps.example", 9001),
            make_session=self.make_session,
            client_tls=ClientTls(server_name="vps.example", verify="none"),
            settings=LinkSettings(),
            websocket=remote_websocket or RemoteWebSocket(Opener(), URL),
            **more,
        )


@pytest.fixture
def network(monkeypatch):
    return partial(Network, monkeypatch)


def test_udp_that_answers_is_the_only_path(network):
    @virtual_time
    async def run():
        race = network((0.4, None), (0.0, None))
        session = await race.addresses().dial()
        assert session.path == "udp"
        assert race.started == [("udp", 0.0)]

    run()


def test_the_websocket_starts_half_a_second_later_and_the_first_handshake_wins(network):
    @virtual_time
    async def run():
        race = network((2.0, None), (0.2, None))
        session = await race.addresses().dial()
        assert session.path == "websocket"
        assert race.started == [("udp", 0.0), ("websocket", 0.5)]
        assert asyncio.get_running_loop().time() == pytest.approx(0.7)

    run()


def test_udp_wins_while_the_websocket_is_being_opened(network):
    @virtual_time
    async def run():
        race = network((0.6, None), (5.0, None))
        assert (await race.addresses().dial()).path == "udp"

    run()


def test_udp_does_not_win_before_the_peer_has_completed_the_handshake(network):
    @virtual_time
    async def run():
        race = network((0.1, None), (0.2, None))
        race.answers_after = None
        session = await race.addresses().dial()
        assert session.path == "websocket"
        assert asyncio.get_running_loop().time() == pytest.approx(0.7)
        assert [each.was_aborted for each in race.sessions if each is not session] == [True]

    run()


def test_without_a_websocket_the_handshake_of_this_end_is_enough(network):
    @virtual_time
    async def run():
        race = network((0.1, None), (0.0, None))
        race.answers_after = None
        assert (await race.addresses(via=Via.UDP).dial()).path == "udp"
        assert asyncio.get_running_loop().time() == pytest.approx(0.1)

    run()


def test_the_other_link_is_discarded_if_both_are_made_at_the_same_time(network):
    @virtual_time
    async def run():
        race = network((1.0, None), (0.5, None))
        session = await race.addresses().dial()
        assert [each.was_aborted for each in race.sessions if each is not session] == [True]
        assert not session.was_aborted

    run()


def test_the_websocket_starts_at_once_if_udp_fails_or_has_failed_in_this_network(network):
    @virtual_time
    async def run():
        race = network((0.1, UDP_FAILS), (0.0, None))
        assert (await race.addresses().dial()).path == "websocket"
        assert race.started[1] == ("websocket", pytest.approx(0.1))
        race = network((9.0, UDP_FAILS), (0.0, None))
        now = asyncio.get_running_loop().time()
        assert (await race.addresses(websocket_delay=0.0).dial()).path == "websocket"
        assert race.started == [("udp", now), ("websocket", now)]

    run()


@pytest.mark.parametrize(
    ("via", "paths"), [(Via.UDP, ["udp"]), (Via.WEBSOCKET, ["websocket"]), (Via.AUTO, None)]
)
def test_via_selects_the_paths(network, via, paths):
    @virtual_time
    async def run():
        race = network((1.0, UDP_FAILS), (1.0, WEBSOCKET_FAILS))
        with pytest.raises(LinkFailed):
            await race.addresses(via=via).dial()
        assert [path for path, _ in race.started] == (paths or ["udp", "websocket"])
        assert {given["via"] for given in race.given} == {via}

    run()


def test_only_a_websocket_needs_no_name_server(network):
    @virtual_time
    async def run():
        race = network((0.0, None), (0.0, None))
        await race.addresses(via=Via.WEBSOCKET).dial()
        assert race.lookups == 0

    run()


def test_a_link_over_udp_may_move_to_the_websocket_unless_via_is_udp(network):
    @virtual_time
    async def run():
        race = network((0.0, None), (0.0, None))
        websocket = RemoteWebSocket(Opener(), URL)
        await race.addresses(websocket).dial()
        await race.addresses(websocket, via=Via.UDP).dial()
        assert [given["opener"] for given in race.given] == [websocket.opener, None]

    run()


@pytest.mark.parametrize("first", ["udp", "websocket"])
def test_a_failure_names_both_paths_in_the_same_order(network, first):
    @virtual_time
    async def run():
        slow, quick = (3.0, 1.0) if first == "websocket" else (1.0, 3.0)
        race = network((slow, UDP_FAILS), (quick, WEBSOCKET_FAILS))
        with pytest.raises(LinkFailed) as caught:
            await race.addresses().dial()
        assert str(caught.value) == (
            f"UDP is blocked; over the WebSocket {URL}: connection refused"
        )

    run()


def test_both_paths_end_at_the_time_limit(network):
    @virtual_time
    async def run():
        race = network((60.0, None), (0.0, WEBSOCKET_FAILS))
        with pytest.raises(LinkFailed, match=r"no answer from 192\.0\.2\.1 on UDP port 9001"):
            await race.addresses(time_limit=3.5).dial()
        assert asyncio.get_running_loop().time() == pytest.approx(3.5)
        assert race.given[1]["within"] == pytest.approx(3.0)

    run()


@pytest.mark.parametrize(
    ("udp", "websocket"), [(REFUSED, WEBSOCKET_FAILS), (UDP_FAILS, REFUSED), (REFUSED, REFUSED)]
)
def test_a_refusal_counts_more_than_a_path_that_does_not_work(network, udp, websocket):
    @virtual_time
    async def run():
        race = network((0.1, udp), (0.1, websocket))
        with pytest.raises(Refused) as caught:
            await race.addresses().dial()
        assert caught.value is REFUSED

    run()


def test_a_bug_is_not_reported_as_a_failed_path(network):
    @virtual_time
    async def run():
        race = network((0.1, UDP_FAILS), (0.1, TypeError("bug")))
        with pytest.raises(ExceptionGroup) as caught:
            await race.addresses().dial()
        assert caught.value.subgroup(TypeError) is not None

    run()


def test_each_address_makes_one_link_and_the_websocket_counts_as_one(network):
    @virtual_time
    async def run():
        race = network((0.1, None), (0.0, None))
        addresses = race.addresses()
        paths = [(await addresses.dial()).path for _ in range(2)]
        assert paths == ["udp", "websocket"]
        with pytest.raises(LinkFailed, match="has no other address"):
            await addresses.dial()
        addresses = race.addresses(via=Via.WEBSOCKET)
        await addresses.dial()
        with pytest.raises(LinkFailed, match="has led to another peer"):
            await addresses.dial()

    run()


def test_a_websocket_that_has_failed_is_left_out_for_a_while(network):
    @virtual_time
    async def run():
        race = network((0.0, UDP_FAILS), (0.0, WEBSOCKET_FAILS))
        websocket = RemoteWebSocket(Opener(), URL)
        reasons = set()

        async def attempt() -> bool:
            before = len(race.started)
            with pytest.raises(LinkFailed) as caught:
                await race.addresses(websocket).dial()
            reasons.add(str(caught.value))
            return ("websocket", asyncio.get_running_loop().time()) in race.started[before:]

        assert await attempt()
        pause = FIRST_PAUSE
        for _ in range(6):
            await asyncio.sleep(0.9 * pause)
            assert not await attempt()
            await asyncio.sleep(0.1 * pause)
            assert await attempt()
            pause = min(2 * pause, MAX_PAUSE)
        websocket.reset()
        assert await attempt()
        assert len(reasons) == 1  # also without an opening

    run()
