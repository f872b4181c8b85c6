"""The origin's end of client streams: preambles, and connections to the origin server."""

from __future__ import annotations

import pytest
from role_doubles import House, Tunnel, a_tunnel, of_type, origin_session
from scripted_remote import CLIENT, ScriptedRemote, welcome

from quictunnel.errors import LinkLost
from quictunnel.events import (
    ClientClosed,
    ClientEnding,
    ConnectFailed,
    InternalErrorOccurred,
    PreambleRejected,
    UnknownServiceRequested,
)
from quictunnel.origin.upstream import ConnectError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, encode_v2
from testkit.clock import seconds, settle, virtual_time


@virtual_time
async def test_a_preamble_may_come_byte_by_byte():
    remote = await ScriptedRemote().established()
    stream, _ = remote.client(b"")
    for byte in encode_v2(CLIENT) + b"hello":
        stream.write(bytes([byte]))
    for _ in range(20):
        await settle()
    assert remote.upstream.connections[0].written == b"hello"


@virtual_time
async def test_a_stream_without_a_preamble_is_reset_after_ten_seconds():
    remote = await ScriptedRemote().established()
    _, received = remote.client(encode_v2(CLIENT)[:20])
    await seconds(9.9)
    assert received.lost == "not yet"
    await seconds(0.2)
    assert received.code == Code.BAD_PREAMBLE
    assert remote.lost is None


@virtual_time
async def test_the_preamble_timeout_does_not_run_while_the_link_is_silent():
    """The packet was lost, and a later stream has opened this one too (RFC 9000, 2.1)."""
    remote = await ScriptedRemote().established()
    stream, received = remote.client(encode_v2(CLIENT)[:20])
    _, other = remote.client(b"")
    await seconds(8)
    remote.near.go_silent()
    await seconds(60)
    assert received.lost == other.lost == "not yet"
    remote.near.come_back()
    await seconds(9)
    stream.write(encode_v2(CLIENT)[20:] + b"held")
    await settle()
    assert remote.upstream.connections[0].written == b"held"
    await seconds(2)
    assert received.lost == "not yet"
    assert other.code == Code.BAD_PREAMBLE


@virtual_time
async def test_a_preamble_may_arrive_after_the_process_was_suspended():
    remote = await ScriptedRemote().established()
    stream, received = remote.client(encode_v2(CLIENT)[:20])
    remote.near.unheard_for = 3600.0  # its packets have not been read yet
    await seconds(11)
    remote.near.unheard_for = 0.0
    stream.write(encode_v2(CLIENT)[20:] + b"held")
    await settle()
    assert remote.upstream.connections[0].written == b"held"
    assert received.lost == "not yet"


@virtual_time
async def test_the_preamble_timeout_starts_with_the_welcome():
    remote = ScriptedRemote()
    _, received = remote.client(b"")
    await seconds(9)
    remote.send(welcome())
    await seconds(9)
    assert received.lost == "not yet"
    await seconds(2)
    assert received.code == Code.BAD_PREAMBLE


@virtual_time
async def test_a_malformed_preamble_ends_only_its_stream():
    remote = await ScriptedRemote().established()
    _, good = remote.client()
    _, bad = remote.client(b"GET / HTTP/1.1\r\n\r\n")
    cut, short = remote.client(encode_v2(CLIENT)[:20])
    cut.write_eof()
    await settle()
    assert bad.code == short.code == Code.BAD_PREAMBLE
    assert {event.peer for event in of_type(remote.events, PreambleRejected)} == {"192.0.2.1:1001"}
    assert good.lost == "not yet"


@virtual_time
async def test_a_stream_that_is_reset_before_its_preamble_is_removed():
    remote = await ScriptedRemote().established()
    stream, _ = remote.client(b"")
    await settle()
    stream.reset(Code.CLIENT_RESET)
    await seconds(20)
    assert remote.upstream.attempts == 0
    assert not remote.origin._pending_streams


@virtual_time
async def test_a_client_of_an_unknown_service_is_reset():
    remote = await ScriptedRemote().established()
    _, other = remote.client(encode_v2(Preamble(service="ssh")))
    _, none = remote.client(encode_v2(Preamble()))
    await settle()
    assert of_type(remote.events, UnknownServiceRequested) == [
        UnknownServiceRequested(service, client=None, id=None) for service in ("ssh", "")
    ]
    assert other.code == none.code == Code.UNKNOWN_SERVICE
    assert remote.upstream.attempts == 0


@virtual_time
async def test_a_client_without_an_address_is_forwarded():
    remote = await ScriptedRemote(proxy_protocol="v2").established()
    preamble = Preamble(service="default")
    remote.client(encode_v2(preamble) + b"ping")
    await settle()
    assert remote.upstream.connections[0].written == encode_v2(preamble) + b"ping"


@virtual_time
async def test_an_eof_right_after_the_preamble_is_forwarded():
    remote = await ScriptedRemote().established()
    stream, received = remote.client(encode_v2(CLIENT) + b"question")
    stream.write_eof()
    await settle()
    (server,) = remote.upstream.connections
    assert (server.written, server.eof_written) == (b"question", True)
    server.send(b"answer")
    server.send_eof()
    await settle()
    assert (received.data, received.eof) == (b"answer", True)


@virtual_time
async def test_a_client_waits_for_a_slow_origin_server():
    remote = await ScriptedRemote().established()
    remote.upstream.open.clear()
    _, received = remote.client(encode_v2(CLIENT) + b"patient")
    await seconds(8)
    assert received.lost == "not yet"
    remote.upstream.open.set()
    await settle()
    assert remote.upstream.connections[0].written == b"patient"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.ORIGIN_REFUSED, ClientEnding.SERVER_REFUSED),
        (Code.ORIGIN_UNREACHABLE, ClientEnding.SERVER_UNREACHABLE),
        (Code.OVERLOADED, ClientEnding.OVERLOADED),
    ],
)
def test_a_failed_connection_resets_the_stream_with_its_code(code, kind):
    @virtual_time
    async def story():
        remote = await ScriptedRemote().established()
        remote.upstream.error = ConnectError(code, "why")
        _, received = remote.client()
        await settle()
        assert received.code == code
        assert of_type(remote.events, ConnectFailed) == [
            ConnectFailed("localhost:8000", code.word, "why", CLIENT.client_id, kind)
        ]
        (closed,) = of_type(remote.events, ClientClosed)
        assert (closed.reason, closed.ending) == (code.word, kind)
        assert closed.connect_time is None

    story()


@virtual_time
async def test_a_bug_while_connecting_ends_only_one_client_and_is_reported():
    remote = await ScriptedRemote().established()
    remote.upstream.error = KeyError("a bug")
    _, received = remote.client()
    await settle()
    assert received.code == Code.INTERNAL
    assert remote.lost is None
    (bug,) = of_type(remote.events, InternalErrorOccurred)
    assert bug.exception is remote.upstream.error
    assert bug.id == CLIENT.client_id


@virtual_time
async def test_a_client_that_leaves_early_cancels_its_attempt():
    remote = await ScriptedRemote().established()
    remote.upstream.open.clear()
    stream, _ = remote.client()
    await settle()
    stream.reset(Code.CLIENT_RESET)
    await settle()
    assert remote.upstream.tasks[-1].cancelled()
    remote.upstream.open.set()
    await settle()
    assert remote.upstream.connections == []


@virtual_time
async def test_a_lost_link_resets_every_connection_to_the_origin_server():
    remote = await ScriptedRemote().established()
    remote.client()
    await settle()
    remote.near.die()
    await settle()
    assert remote.upstream.connections[0].was_reset
    assert isinstance(await remote.origin.life.ended, LinkLost)


@virtual_time
async def test_a_silent_link_holds_its_clients():
    tunnel = await a_tunnel(hold=900.0)
    client = tunnel.house.client()
    await settle()
    tunnel.near.go_silent()
    tunnel.far.go_silent()
    await seconds(800)
    assert not client.is_over
    assert not tunnel.upstream.connections[0].is_over


@virtual_time
async def test_each_service_has_its_own_origin_server():
    house = House("web", "ssh")
    tunnel = Tunnel(house, "web", "ssh")
    session, ssh = origin_session("ssh")
    tunnel.origin._settings.offer.services["ssh"] = session._settings.offer.services["ssh"]
    await tunnel.up()
    house.client("web")
    house.client("ssh")
    await settle()
    assert len(tunnel.upstream.connections) == len(ssh.connections) == 1
