"""How a session ends in order: goodbye, the present clients, the control stream, the link."""

from __future__ import annotations

import pytest
from role_doubles import a_tunnel, of_type

from quictunnel.events import ClientClosed, LinkDropped, OriginDisconnected
from quictunnel.protocol.codes import Code
from testkit.clock import seconds, settle, virtual_time


@virtual_time
async def test_an_idle_link_is_closed_with_goodbye_as_soon_as_the_other_end_agrees():
    tunnel = await a_tunnel()
    tunnel.remote.say_goodbye("drain", grace=30)
    await settle()
    assert tunnel.far.code == Code.GOODBYE
    assert await tunnel.origin.life.ended is not None
    assert tunnel.house.ended == [tunnel.remote]


@virtual_time
async def test_an_origin_leaves_in_the_same_way():
    tunnel = await a_tunnel()
    tunnel.origin.say_goodbye("drain", grace=30)
    await settle()
    assert tunnel.near.code == Code.GOODBYE
    assert tunnel.house.ended == [tunnel.remote]


@virtual_time
async def test_both_may_leave_at_once():
    tunnel = await a_tunnel()
    tunnel.origin.say_goodbye("drain", grace=30)
    tunnel.remote.say_goodbye("drain", grace=30)
    await settle()
    assert tunnel.near.is_closed
    assert tunnel.far.is_closed


@virtual_time
async def test_a_present_client_finishes_before_the_link_is_closed():
    for leaves in ("origin", "remote"):
        tunnel = await a_tunnel()
        client = tunnel.house.client()
        await settle()
        (server,) = tunnel.upstream.connections
        getattr(tunnel, leaves).say_goodbye("drain", grace=30)
        await seconds(10)
        assert not tunnel.near.is_closed
        client.send(b"last question")
        client.send_eof()
        await settle()
        assert server.written == b"last question"
        server.send(b"last answer")
        server.send_eof()
        await settle()
        assert client.written == b"last answer"
        assert client.was_closed
        assert not client.was_reset
        assert tunnel.near.is_closed
        assert tunnel.far.is_closed


@virtual_time
async def test_a_client_that_outstays_the_grace_is_cut():
    for leaves in ("origin", "remote"):
        tunnel = await a_tunnel()
        client = tunnel.house.client()
        await settle()
        getattr(tunnel, leaves).say_goodbye("drain", grace=30)
        await seconds(29)
        assert not client.is_over
        await seconds(2)
        assert client.was_reset
        assert tunnel.upstream.connections[0].was_reset
        assert tunnel.near.is_closed


@virtual_time
async def test_the_link_is_closed_although_the_other_end_does_not_answer():
    tunnel = await a_tunnel()
    tunnel.house.client()
    await settle()
    tunnel.near.freeze()
    tunnel.remote.say_goodbye("drain", grace=30)
    await seconds(33)
    assert tunnel.far.code == Code.GOODBYE


@virtual_time
async def test_a_client_under_way_when_the_origin_says_goodbye_is_served():
    tunnel = await a_tunnel()
    tunnel.far.freeze()
    client = tunnel.house.client()
    tunnel.origin.say_goodbye("drain", grace=30)
    await settle()
    assert not tunnel.near.is_closed
    tunnel.far.thaw()
    await settle()
    (server,) = tunnel.upstream.connections
    server.send(b"greeting")
    server.send_eof()
    await settle()
    assert client.written == b"greeting"
    client.send_eof()
    await settle()
    assert client.was_closed
    assert tunnel.near.code == Code.GOODBYE


@virtual_time
async def test_no_new_client_is_brought_over_a_link_that_ends():
    tunnel = await a_tunnel()
    tunnel.origin.say_goodbye("drain", grace=30)
    client = tunnel.house.client()
    tunnel.near.freeze()
    await settle()
    late = tunnel.house.client()
    await settle()
    assert late.written == b""
    assert tunnel.house.registry.find("default") is None
    assert tunnel.house.admission.pending == 1
    assert not client.is_over


@virtual_time
async def test_an_abort_resets_all_clients_at_once():
    for aborts in ("origin", "remote"):
        tunnel = await a_tunnel()
        clients = [tunnel.house.client(peer=("192.0.2.7", port)) for port in (5001, 5002, 5003)]
        await settle()
        servers = tunnel.upstream.connections
        assert len(servers) == 3
        ours, theirs = (clients, servers) if aborts == "remote" else (servers, clients)
        getattr(tunnel, aborts).abort()
        # Checked before the event loop turns: the end of the link resets them too, but later.
        assert [connection.was_reset for connection in ours] == [True] * 3
        await settle()
        assert [connection.was_reset for connection in theirs] == [True] * 3
        assert (tunnel.far if aborts == "remote" else tunnel.near).code == Code.GOODBYE


@pytest.mark.parametrize("aborts", ["origin", "remote"])
@pytest.mark.parametrize(
    ("link_code", "stream_code"),
    [(Code.GOODBYE, Code.CUT_SHORT), (Code.TAKEN_OVER, Code.TAKEN_OVER)],
)
def test_an_abort_tells_each_client_why_it_is_cut(aborts, link_code, stream_code):
    """GOODBYE is a link code, so streams are reset with CUT_SHORT instead."""

    @virtual_time
    async def story():
        tunnel = await a_tunnel()
        link = tunnel.far if aborts == "remote" else tunnel.near
        before = set(link.streams)
        tunnel.house.client()
        await settle()
        (stream,) = link.streams - before
        getattr(tunnel, aborts).abort(link_code)
        await settle()
        assert stream.code == stream_code
        assert link.code == link_code
        closed = of_type(tunnel.events + tunnel.house.events, ClientClosed)
        assert [event.reason for event in closed] == [stream_code.word] * 2, "at both ends"

    story()


@virtual_time
async def test_a_peer_that_says_goodbye_and_stays_is_closed_in_the_end():
    tunnel = await a_tunnel()
    tunnel.house.client()
    await settle()
    tunnel.remote.say_goodbye("drain", grace=30)
    await settle()
    tunnel.far.freeze()  # the remote dies in the midst of it
    await seconds(40)
    assert tunnel.near.is_closed


@virtual_time
async def test_a_link_ends_an_hour_after_the_peers_goodbye_at_the_latest():
    for leaves in ("origin", "remote"):
        tunnel = await a_tunnel()
        client = tunnel.house.client()
        await settle()
        (server,) = tunnel.upstream.connections
        ours, kept = (tunnel.far, client) if leaves == "origin" else (tunnel.near, server)
        getattr(tunnel, leaves).say_goodbye("drain", grace=36_000)
        await seconds(3600)
        assert not kept.is_over
        assert not ours.is_closed
        await seconds(5)
        assert kept.was_reset
        await seconds(2)
        assert ours.is_closed


@virtual_time
async def test_who_has_no_clients_does_not_wait_for_a_silent_peer():
    for leaves in ("origin", "remote"):
        tunnel = await a_tunnel()
        ours, theirs = tunnel.near, tunnel.far
        if leaves == "remote":
            ours, theirs = theirs, ours
        theirs.freeze()
        ours.freeze()
        getattr(tunnel, leaves).say_goodbye("drain", grace=30)
        await seconds(2)
        assert not ours.is_closed
        ours.go_silent()
        await seconds(3)
        assert ours.code == Code.GOODBYE


@virtual_time
async def test_a_client_may_outlive_the_peers_silence_when_its_end_is_leaving():
    tunnel = await a_tunnel()
    client = tunnel.house.client()
    await settle()
    tunnel.remote.say_goodbye("drain", grace=30)
    tunnel.far.go_silent()
    await seconds(10)
    assert not client.is_over
    tunnel.far.come_back()
    await seconds(19)
    assert not client.is_over
    await seconds(2)
    assert client.was_reset


@virtual_time
async def test_a_peer_that_comes_back_is_given_its_grace_again():
    tunnel = await a_tunnel()
    tunnel.house.client()
    await settle()
    tunnel.near.freeze()  # its client has left, of which the remote does not hear
    tunnel.upstream.connections[0].fail(ConnectionResetError())
    tunnel.origin.say_goodbye("drain", grace=30)
    tunnel.near.go_silent()
    await seconds(1)
    tunnel.near.come_back()
    await seconds(20)
    assert not tunnel.near.is_closed
    tunnel.near.thaw()
    await settle()
    assert tunnel.near.code == Code.GOODBYE


@virtual_time
async def test_the_reason_of_a_goodbye_is_the_reason_why_the_link_ends():
    tunnel = await a_tunnel()
    tunnel.remote.say_goodbye("the remote was stopped", grace=30)
    await settle()
    (dropped,) = of_type(tunnel.events, LinkDropped)
    assert dropped.reason == "the remote was stopped"
    tunnel = await a_tunnel()
    tunnel.origin.say_goodbye("the origin was stopped", grace=30)
    await settle()
    (disconnected,) = of_type(tunnel.house.events, OriginDisconnected)
    assert disconnected.reason == "the origin was stopped"


@virtual_time
async def test_an_end_without_clients_that_has_said_goodbye_last_closes_the_link_itself():
    tunnel = await a_tunnel()
    tunnel.far.freeze()  # the remote agrees, but the origin's control stream is not acknowledged
    tunnel.remote.say_goodbye("drain", grace=30)
    await seconds(1)
    tunnel.origin.say_goodbye("drain", grace=30)
    await settle()
    assert not tunnel.near.is_closed
    tunnel.far.thaw()
    await settle()
    assert tunnel.near.is_closed
    assert tunnel.far.is_closed
