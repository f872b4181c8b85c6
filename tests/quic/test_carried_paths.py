"""A listener accepts links on paths other than UDP, and follows links to them and back."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from ipaddress import ip_network

import pytest
from carried_listener import WEB_PEER, Attached, CarriedListener, Heard, Roamer, attached_line
from endpoints import TIMEOUT, Echo, Trusting, echo, listening
from flooded_listener import DELAY, Initials
from link_pair import Recorder, over_links, until
from pair import CLIENT_PATH, SERVER_PATH, Engines

from quictunnel.config.networks import NetworkSet
from quictunnel.events import DropKind, PeerDropped
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Path
from quictunnel.quic.limits import SOURCE_UNPROVEN_LINKS, UNPROVEN_PATH_DATAGRAMS
from quictunnel.quic.listener import LISTENER_CLOSED
from quictunnel.quic.path.carried_addresses import address_of
from quictunnel.quic.path.carried_paths import UNUSED_CHECK_INTERVAL
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.settings import LinkSettings
from testkit.carried_path import CarriedLine
from testkit.clock import seconds, settle
from testkit.crafted_packets import unknown_link, unknown_version

CLIENT = Address(*CLIENT_PATH[:2])
ELSEWHERE = Path("198.51.100.9", 7777)
DATA = random.Random(1).randbytes(1_000_000)

IPV6_FREEBIND = 78  # linux/in6.h


async def roaming(engines: Engines, **options) -> tuple[CarriedListener, Roamer]:
    """Return a listener, and a link to it over UDP that both ends have searched for its MTU."""
    remote = CarriedListener(engines[1], **options)
    roamer = Roamer(engines[0], remote.udp)
    await until(lambda: remote.sessions and remote.sessions[-1].link is not None)
    await seconds(3)
    return remote, roamer


# New links


@over_links
async def test_a_link_is_made_over_a_path_and_has_the_real_address_of_its_peer(
    engines: Engines,
) -> None:
    remote = CarriedListener(engines[1])
    line = CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    roamer = Roamer(engines[0], None, over=line.dialing)
    await until(lambda: remote.sessions and remote.sessions[0].link is not None)
    remote.sessions[0].make = Echo
    recorder = roamer.open_stream(DATA)
    await until(lambda: recorder.data == DATA)
    assert [remote.link.peer, remote.link.path_kind] == [WEB_PEER, PathKind.WEBSOCKET]
    assert [roamer.link.peer, roamer.link.path_kind] == [
        Address(*SERVER_PATH[:2]),
        PathKind.WEBSOCKET,
    ]
    assert remote.link.statistics.peer == WEB_PEER
    assert attached.proven == 1
    assert not attached.closed


@over_links
async def test_a_retry_is_sent_on_the_path_of_its_peer(engines: Engines) -> None:
    remote = CarriedListener(engines[1], settings=LinkSettings(retry_above=0))
    line = attached_line(remote.listener)
    roamer = Roamer(engines[0], None, over=line.dialing)
    first_bytes: list[int] = []
    receive = roamer.datagrams_received

    def tap(datagrams: list[bytes]) -> None:
        first_bytes.extend(data[0] for data in datagrams)
        receive(datagrams)

    roamer.datagrams_received = tap
    await until(lambda: roamer.link.is_made)
    assert first_bytes[0] & 0xF0 == 0xF0, "the first answer is a Retry"


@pytest.mark.parametrize("packet", [unknown_version, unknown_link])
@over_links
async def test_a_packet_of_no_link_is_answered_on_its_path(packet, engines: Engines) -> None:
    remote = CarriedListener(engines[1])
    lines = [attached_line(remote.listener) for _ in range(2)]
    heard = [Heard(), Heard()]
    for line, each in zip(lines, heard, strict=True):
        line.dialing.handler = each
    lines[0].dialing.send([packet()])
    await seconds(1)
    assert [len(each.datagrams) for each in heard] == [1, 0]


@over_links
async def test_a_peer_whose_path_has_ended_while_it_waited_is_not_accepted(
    engines: Engines,
) -> None:
    remote = CarriedListener(engines[1])
    line = attached_line(remote.listener)
    line.dialing.send([Initials(1).initial()])
    opened = remote.listener._open_next
    remote.listener._open_next = lambda: (line.fail(), asyncio.get_running_loop().call_soon(opened))
    await seconds(1)
    assert not remote.sessions
    assert not remote.listener._links


@over_links
async def test_a_flood_over_paths_counts_for_its_source_and_delays_no_other(
    engines: Engines,
) -> None:
    settings = LinkSettings(max_unproven=4 * SOURCE_UNPROVEN_LINKS)
    remote = CarriedListener(engines[1], settings=settings)
    initials = Initials(1)
    flooding = Address("203.0.113.7", 1)
    for port in range(1, 101):
        line = attached_line(remote.listener, Address(flooding.host, port))
        line.dialing.handler = Heard()
        line.dialing.send([initials.initial() for _ in range(3)])
    await seconds(1)
    assert 0 < remote.listener._admission.unproven < settings.max_unproven
    honest = attached_line(remote.listener)
    roamer = Roamer(engines[0], None, over=honest.dialing)
    await until(lambda: roamer.link.is_made, limit=3)
    await seconds(20)
    reports = {event.source for event in remote.events if isinstance(event, PeerDropped)}
    assert reports == {flooding.host}
    assert len(remote.listener._links) == 1


@over_links
async def test_a_path_of_another_network_is_not_heard(engines: Engines) -> None:
    remote = CarriedListener(engines[1])
    remote.listener.accept_only(NetworkSet([ip_network("198.51.100.0/24")]))
    line = attached_line(remote.listener)
    accepted = attached_line(remote.listener, Address("198.51.100.7", 1))
    for each in (line, accepted):
        each.dialing.handler = Heard()
        each.dialing.send([unknown_version()])
    await seconds(1)
    assert [line.accepting.sent, accepted.accepting.sent] == [0, 1]
    (event,) = remote.events
    assert isinstance(event, PeerDropped)
    assert [event.source, event.kind] == [WEB_PEER.host, DropKind.NETWORK]


@over_links
async def test_datagrams_larger_than_the_path_carries_are_dropped(engines: Engines) -> None:
    remote = CarriedListener(engines[1])
    line = attached_line(remote.listener, mtu=1472)
    line.accepting.handler.datagrams_received([unknown_version().ljust(1473, b"\0")])
    await settle()
    assert not line.accepting.queued
    assert not line.accepting.sent
    line.accepting.handler.datagrams_received([unknown_version().ljust(1472, b"\0")])
    assert line.accepting.sent == 1


@over_links
async def test_a_path_that_carries_too_much_without_a_proven_link_is_closed(
    engines: Engines,
) -> None:
    remote = CarriedListener(engines[1])
    line = CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    handler = line.accepting.handler
    handler.datagrams_received([b"@"] * (2 * UNPROVEN_PATH_DATAGRAMS))
    await settle()
    assert not line.is_closed, "one that has just proven itself may have sent more"
    handler.datagrams_received([b"@"])
    await settle()
    assert line.is_closed
    assert attached.closed == [Code.TOO_MUCH.word]
    assert [event.kind for event in remote.events] == [DropKind.TOO_MUCH]
    assert remote.events[0].source == WEB_PEER.host


@over_links
async def test_a_path_with_a_proven_link_has_no_limit_on_datagrams(engines: Engines) -> None:
    remote, roamer = await roaming(engines)
    line = CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    roamer.move_over(line.dialing)
    await until(lambda: attached.proven)
    for _ in range(3):
        line.accepting.handler.datagrams_received([b"@"] * UNPROVEN_PATH_DATAGRAMS)
    assert not line.is_closed


# Links that move


@over_links
async def test_streams_survive_moves_to_a_path_and_back(engines: Engines) -> None:
    remote, roamer = await roaming(engines)
    echoed = Recorder()
    remote.sessions[-1].make = Echo
    stream = roamer.link.open_stream(echoed)
    peers = []
    for number in range(4):
        line = CarriedLine(rate=5e6, delay=0.02)
        attached = Attached(remote.listener, line.accepting, Address("192.0.2.1", 50_000 + number))
        stream.write(DATA)
        await seconds(0.05)
        roamer.move_over(line.dialing)
        await seconds(1.5)
        peers.append((remote.link.peer.port, remote.link.path_kind, attached.proven))
        stream.write(DATA)
        await seconds(0.05)
        roamer.move_to_udp(Path(CLIENT_PATH.host, 6000 + number))
        await until(lambda count=number: len(echoed.data) == (2 * count + 2) * len(DATA))
        assert remote.link.peer == Address(CLIENT_PATH.host, 6000 + number)
        assert remote.link.path_kind is PathKind.UDP
    assert echoed.data == DATA * 8
    assert peers == [(50_000 + number, PathKind.WEBSOCKET, 1) for number in range(4)]
    assert len(remote.sessions) == 1


@over_links
async def test_a_move_is_reported_with_the_real_address_at_the_accepting_end(
    engines: Engines,
) -> None:
    remote, roamer = await roaming(engines)
    await seconds(20)
    assert remote.sessions[0].moves == []
    line = attached_line(remote.listener, CLIENT)  # even if only the kind differs
    roamer.move_over(line.dialing)
    await seconds(40)
    assert remote.sessions[0].moves == [(remote.link.local, CLIENT)]
    assert len(roamer.session.moves) == 1


@over_links
async def test_the_state_of_the_path_starts_anew_with_each_move(engines: Engines) -> None:
    """The round-trip time, the congestion window and the size of datagrams."""
    remote, roamer = await roaming(engines)
    downloaded = Recorder()
    roamer.link.open_stream(downloaded).write(b"?")
    await until(lambda: remote.sessions[0].accepted)
    (accepted,) = remote.sessions[0].accepted
    accepted.stream.write(DATA * 4)
    await seconds(1)
    on_udp = remote.link.statistics.engine
    assert on_udp.mtu == 1452
    line = attached_line(remote.listener, delay=0.2, rate=1e6, mtu=1300)
    accepted.stream.write(DATA)
    roamer.move_over(line.dialing)
    await until(lambda: remote.link.path_kind is PathKind.WEBSOCKET)
    begun = remote.link.statistics.engine
    assert begun.mtu == 1200
    assert begun.congestion_window < on_udp.congestion_window
    await seconds(8)
    over_path = remote.link.statistics.engine
    assert 1200 <= over_path.mtu <= 1300
    assert over_path.rtt is not None
    assert over_path.rtt >= 0.4
    roamer.move_to_udp()
    await until(lambda: remote.link.path_kind is PathKind.UDP)
    assert remote.link.statistics.engine.mtu == 1200
    await seconds(3)
    back = remote.link.statistics.engine
    assert back.mtu == 1452
    assert back.rtt is not None
    assert back.rtt < 4 * DELAY
    await until(lambda: len(downloaded.data) == 5 * len(DATA))


@over_links
async def test_the_rate_of_a_new_path_is_used_soon(engines: Engines) -> None:
    """The queue of the path is short, so that too much would be dropped."""
    remote, roamer = await roaming(engines)
    downloaded = roamer.open_stream()
    await until(lambda: remote.sessions[0].accepted)
    line = attached_line(remote.listener, delay=0.025, rate=2e6)
    remote.sessions[0].accepted[0].stream.write(DATA * 20)
    await seconds(0.05)
    roamer.move_over(line.dialing)
    await seconds(1)
    before = len(downloaded.data)
    await seconds(4)
    assert len(downloaded.data) - before > 0.75 * 4 * 2e6


@over_links
async def test_a_link_whose_path_ends_is_silent_until_its_peer_returns(engines: Engines) -> None:
    remote, roamer = await roaming(engines)
    line = CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    roamer.move_over(line.dialing)
    recorder = roamer.open_stream()
    await until(lambda: remote.sessions[0].accepted)
    await seconds(1)  # the path is validated, so that the link does not fall back
    line.fail("the proxy has ended")
    await settle()
    assert attached.closed == ["the proxy has ended"]
    accepted = remote.sessions[0].accepted[0]
    accepted.stream.write(DATA)
    await seconds(60)
    assert remote.link.is_silent
    assert [remote.link.peer, remote.link.path_kind] == [WEB_PEER, PathKind.WEBSOCKET]
    roamer.move_to_udp(ELSEWHERE)
    await until(lambda: recorder.data == DATA, limit=5)
    assert not remote.link.is_silent
    assert remote.link.peer == Address(*ELSEWHERE[:2])


@over_links
async def test_a_link_goes_from_path_to_path(engines: Engines) -> None:
    remote, roamer = await roaming(engines)
    recorder = roamer.open_stream()
    await until(lambda: remote.sessions[0].accepted)
    for number in range(3):
        line = attached_line(remote.listener, Address("192.0.2.1", 1000 + number))
        roamer.move_over(line.dialing)
        remote.sessions[0].accepted[0].stream.write(DATA)
        await until(lambda count=number: len(recorder.data) == (count + 1) * len(DATA), limit=20)
        assert remote.link.peer.port == 1000 + number
        line.stall()
        await seconds(2)


# Paths


@over_links
async def test_a_path_is_closed_some_time_after_its_links_have_left_it(engines: Engines) -> None:
    remote, roamer = await roaming(engines)
    lines = [CarriedLine() for _ in range(2)]
    attached = [Attached(remote.listener, line.accepting) for line in lines]
    for line in lines:
        roamer.move_over(line.dialing)
        await seconds(1)
    assert not lines[0].is_closed
    await seconds(2 * UNUSED_CHECK_INTERVAL + 1)
    assert [line.is_closed for line in lines] == [True, False]
    assert [len(each.closed) for each in attached] == [1, 0]
    roamer.link.close()
    await seconds(3 * UNUSED_CHECK_INTERVAL)
    assert lines[1].is_closed
    assert attached[1].closed == ["no link uses the path any more"]


@over_links
async def test_a_path_without_a_proven_link_is_left_to_its_owner(engines: Engines) -> None:
    remote = CarriedListener(engines[1])
    line = CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    await seconds(10 * UNUSED_CHECK_INTERVAL)
    assert not line.is_closed
    assert not attached.proven
    attached.close("no proof came")
    assert line.is_closed
    assert attached.closed == ["no proof came"]
    assert not len(remote.listener._paths)


@over_links
async def test_a_path_that_closes_while_it_handles_a_proof_is_not_proven(engines: Engines) -> None:
    remote, roamer = await roaming(engines)
    line = CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    received = remote.link.datagrams_received

    def close_path() -> None:
        received()
        attached.close("closed in a callback")

    remote.link.datagrams_received = close_path
    roamer.move_over(line.dialing)
    await seconds(1)
    attached.close("closed again")
    await seconds(3 * UNUSED_CHECK_INTERVAL)
    assert not attached.proven
    assert attached.closed == ["closed in a callback"]


@over_links
async def test_the_number_of_an_ended_path_is_never_used_again(engines: Engines) -> None:
    remote = CarriedListener(engines[1])
    lines = []
    for _ in range(3):
        lines.append(attached_line(remote.listener))
        lines[-1].fail()
        await settle()
    lines.append(attached_line(remote.listener))
    paths = remote.listener._paths
    paths.send([(b"late", (*address_of(number), b"")) for number in range(1, 5)])
    assert [line.accepting.sent for line in lines] == [0, 0, 0, 1]
    assert len(paths) == 1


@over_links
async def test_a_listener_that_closes_takes_its_paths_along(engines: Engines) -> None:
    remote = CarriedListener(engines[1])
    line, late = CarriedLine(), CarriedLine()
    attached = Attached(remote.listener, line.accepting)
    roamer = Roamer(engines[0], None, over=line.dialing)
    await until(lambda: roamer.link.is_made)
    remote.listener.close()
    attached_late = Attached(remote.listener, late.accepting)
    await remote.listener.wait_closed()
    assert attached.closed == attached_late.closed == [LISTENER_CLOSED]
    await seconds(1)
    assert len(roamer.ended) == 1


# With a UDP socket


async def test_a_link_leaves_a_path_for_udp_with_real_sockets(engines: Engines) -> None:
    """Whole batches of datagrams are for the path, and none of them reaches the UDP socket."""
    session = Trusting()
    async with (
        asyncio.timeout(TIMEOUT),
        listening(engine=engines[1], protocol_factory=lambda: session) as listener,
    ):
        sent: list[OSError] = []
        listener._socket._on_send_error = sent.append
        line = attached_line(listener, delay=0.001, queue=1.0)
        roamer = Roamer(engines[0], None, over=line.dialing)
        accepted = await session.made
        assert await echo(roamer.link, DATA) == DATA
        assert [accepted.peer, accepted.path_kind] == [WEB_PEER, PathKind.WEBSOCKET]
        assert line.accepting.sent > len(DATA) / 1452
        assert not sent
        roamer.link.close()


@pytest.mark.parametrize("packet", [unknown_version, unknown_link, Initials(1).initial])
async def test_answers_of_the_engine_itself_go_to_the_path_with_real_sockets(
    packet, engines: Engines
) -> None:
    """Version Negotiation, a stateless reset and a Retry."""
    settings = LinkSettings(retry_above=0)
    async with (
        asyncio.timeout(TIMEOUT),
        listening(engine=engines[1], settings=settings) as listener,
    ):
        line = attached_line(listener, delay=0.001)
        line.dialing.handler = heard = Heard()
        line.dialing.send([packet()])
        await heard.something.wait()
        assert len(heard.datagrams) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="sends from an address that it does not have")
@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("packet", [unknown_version, unknown_link, Initials(1).initial])
async def test_a_udp_datagram_with_the_address_of_a_path_is_dropped(
    packet, is_filtered: bool, alike: Engines
) -> None:
    async with (
        asyncio.timeout(TIMEOUT),
        listening("::1", engine=alike[1], settings=LinkSettings(retry_above=0)) as listener,
    ):
        if is_filtered:
            listener.accept_only(NetworkSet([ip_network("::/0")]))
        line = attached_line(listener, delay=0.001)
        line.dialing.handler = heard = Heard()
        remote = (listener.address.host, listener.address.port)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as forger:
            forger.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            forger.bind(address_of(1))
            forger.sendto(packet(), remote)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as honest:
            honest.setblocking(False)
            await loop.sock_sendto(honest, packet(), remote)
            assert await loop.sock_recv(honest, 2000), "the forged datagram was read before"
        await asyncio.sleep(0.05)
        assert not heard.datagrams
