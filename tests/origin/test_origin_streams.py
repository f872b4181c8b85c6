"""The origin's end of data streams: preambles, and the way to the origin server."""

from __future__ import annotations

import logging

import pytest
from role_doubles import House, Tunnel, a_tunnel, facts, listen_to_logs, origin_session
from stranger import CLIENT, Stranger, welcome

from quictunnel.errors import LinkLost
from quictunnel.origin.upstream import DialError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, encode_v2
from testkit.clock import seconds, settle, virtual_time


@virtual_time
async def test_a_preamble_may_come_byte_by_byte():
    stranger = await Stranger().standing()
    stream, _ = stranger.client(b"")
    for byte in encode_v2(CLIENT) + b"hello":
        stream.write(bytes([byte]))
    for _ in range(20):
        await settle()
    assert stranger.dialler.connections[0].written == b"hello"


@virtual_time
async def test_a_stream_without_a_preamble_is_reset_after_ten_seconds():
    stranger = await Stranger().standing()
    _, ear = stranger.client(encode_v2(CLIENT)[:20])
    await seconds(9.9)
    assert ear.lost == "not yet"
    await seconds(0.2)
    assert ear.code == Code.BAD_PREAMBLE
    assert stranger.lost is None


@virtual_time
async def test_the_time_for_it_stands_still_while_the_link_is_silent():
    """Its packet was lost before an outage, and a later stream has told of it (RFC 9000, 2.1)."""
    stranger = await Stranger().standing()
    stream, ear = stranger.client(encode_v2(CLIENT)[:20])
    _, other = stranger.client(b"")
    await seconds(8)
    stranger.near.go_silent()
    await seconds(60)
    assert ear.lost == other.lost == "not yet"
    stranger.near.come_back()
    await seconds(9)
    stream.write(encode_v2(CLIENT)[20:] + b"held")
    await settle()
    assert stranger.dialler.connections[0].written == b"held"
    await seconds(2)
    assert ear.lost == "not yet"
    assert other.code == Code.BAD_PREAMBLE


@virtual_time
async def test_the_time_for_it_begins_with_the_welcome():
    stranger = Stranger()
    _, ear = stranger.client(b"")
    await seconds(9)
    stranger.say(welcome())
    await seconds(9)
    assert ear.lost == "not yet"
    await seconds(2)
    assert ear.code == Code.BAD_PREAMBLE


@virtual_time
async def test_a_broken_preamble_ends_that_stream_alone():
    stranger = await Stranger().standing()
    _, good = stranger.client()
    _, bad = stranger.client(b"GET / HTTP/1.1\r\n\r\n")
    cut, short = stranger.client(encode_v2(CLIENT)[:20])
    cut.write_eof()
    await settle()
    assert bad.code == short.code == Code.BAD_PREAMBLE
    assert good.lost == "not yet"


@virtual_time
async def test_a_stream_reset_before_its_preamble_is_forgotten():
    stranger = await Stranger().standing()
    stream, _ = stranger.client(b"")
    await settle()
    stream.reset(Code.CLIENT_RESET)
    await seconds(20)
    assert stranger.dialler.dialled == 0
    assert not stranger.origin._incoming


@virtual_time
async def test_an_unknown_service_is_said_so():
    stranger = await Stranger().standing()
    _, other = stranger.client(encode_v2(Preamble(service="ssh")))
    _, none = stranger.client(encode_v2(Preamble()))
    await settle()
    assert other.code == none.code == Code.UNKNOWN_SERVICE
    assert stranger.dialler.dialled == 0


@virtual_time
async def test_a_client_without_an_address_is_served():
    stranger = await Stranger(proxy_protocol="v2").standing()
    preamble = Preamble(service="default")
    stranger.client(encode_v2(preamble) + b"ping")
    await settle()
    assert stranger.dialler.connections[0].written == encode_v2(preamble) + b"ping"


@virtual_time
async def test_an_end_right_behind_the_preamble_is_passed_on():
    stranger = await Stranger().standing()
    stream, ear = stranger.client(encode_v2(CLIENT) + b"question")
    stream.write_eof()
    await settle()
    (server,) = stranger.dialler.connections
    assert (server.written, server.eof_written) == (b"question", True)
    server.send(b"answer")
    server.send_eof()
    await settle()
    assert (ear.heard, ear.eof) == (b"answer", True)


@virtual_time
async def test_the_origin_server_may_take_its_time():
    stranger = await Stranger().standing()
    stranger.dialler.open.clear()
    _, ear = stranger.client(encode_v2(CLIENT) + b"patient")
    await seconds(8)
    assert ear.lost == "not yet"
    stranger.dialler.open.set()
    await settle()
    assert stranger.dialler.connections[0].written == b"patient"


@pytest.mark.parametrize("code", [Code.ORIGIN_REFUSED, Code.ORIGIN_UNREACHABLE])
def test_no_origin_server_is_told_by_its_code(code, caplog):
    listen_to_logs(caplog)

    @virtual_time
    async def story():
        stranger = await Stranger().standing()
        stranger.dialler.error = DialError(code, "why")
        _, ear = stranger.client()
        await settle()
        assert ear.code == code

    story()
    (fact,) = facts(caplog, code.word)
    assert str(fact["reason"]) == "why"
    assert fact["id"] == CLIENT.client_id
    (left,) = facts(caplog, "client out")
    assert left["ending"] == code.word


def test_a_fault_in_dialling_ends_one_client_and_is_shown(caplog):
    listen_to_logs(caplog)

    @virtual_time
    async def story():
        stranger = await Stranger().standing()
        stranger.dialler.error = KeyError("a fault")
        _, ear = stranger.client()
        await settle()
        assert ear.code == Code.INTERNAL
        assert stranger.lost is None

    story()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert record.quictunnel_facts["id"] == CLIENT.client_id


@virtual_time
async def test_a_client_that_leaves_during_the_dialling_calls_it_off():
    stranger = await Stranger().standing()
    stranger.dialler.open.clear()
    stream, _ = stranger.client()
    await settle()
    stream.reset(Code.CLIENT_RESET)
    await settle()
    assert stranger.dialler.dials[-1].cancelled()
    stranger.dialler.open.set()
    await settle()
    assert stranger.dialler.connections == []


@virtual_time
async def test_a_lost_link_resets_every_connection_to_the_origin_server():
    stranger = await Stranger().standing()
    stranger.client()
    await settle()
    stranger.near.die()
    await settle()
    assert stranger.dialler.connections[0].was_reset
    assert isinstance(await stranger.origin.ended, LinkLost)


@virtual_time
async def test_a_silent_link_does_nothing_to_clients():
    tunnel = await a_tunnel(hold=900.0)
    client = tunnel.house.client()
    await settle()
    tunnel.near.go_silent()
    tunnel.far.go_silent()
    await seconds(800)
    assert not client.is_over
    assert not tunnel.dialler.connections[0].is_over


@virtual_time
async def test_several_services_lead_to_their_own_servers():
    house = House("web", "ssh")
    tunnel = Tunnel(house, "web", "ssh")
    _, ssh = origin_session()
    tunnel.origin._offer.services["ssh"] = ssh
    await tunnel.up()
    house.client("web")
    house.client("ssh")
    await settle()
    assert len(tunnel.dialler.connections) == len(ssh.connections) == 1
