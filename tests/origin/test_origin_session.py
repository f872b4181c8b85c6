"""The origin's end of a link: nothing before the proof, then a connection for each client."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fake_link import FakeStream, join
from role_doubles import TOKEN, House, Tunnel, a_tunnel, facts, listen_to_logs, origin_session
from virtual_time import seconds, settle, virtual_time

from quictunnel.errors import LinkError, LinkFailed, LinkLost, Refused, StreamReset
from quictunnel.link import LinkProtocol
from quictunnel.origin.dial import DialError
from quictunnel.origin.session import STREAMS_BEFORE_PROOF
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    Service,
    Services,
    Welcome,
    encode,
)
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import prove
from quictunnel.session.session import MAX_REASON

EXPORTER = b"e" * 32
CLIENT = Preamble(
    client=Address("192.0.2.7", 5555),
    outside=Address("198.51.100.1", 9000),
    service="default",
    client_id="00ff00ff00ff00ff",
)


def welcome(**fields) -> Welcome:
    return Welcome(
        **{
            "proof": prove(TOKEN.secret, "remote", EXPORTER),
            "instance": "first",
            "services": [Service(name="default", address="198.51.100.1:9000")],
            "hold": 900.0,
            **fields,
        }
    )


class Ear(asyncio.Protocol):
    """Hears what comes on a stream, and how it ends."""

    def __init__(self) -> None:
        self.heard = b""
        self.eof = False
        self.lost: Exception | str | None = "not yet"

    def data_received(self, data):
        self.heard += data

    def eof_received(self):
        self.eof = True
        return True

    def connection_lost(self, exc):
        self.lost = exc

    @property
    def code(self) -> int | None:
        return self.lost.code if isinstance(self.lost, StreamReset) else None


class Stranger(LinkProtocol):
    """A remote's end of a link, in the test's hands."""

    def __init__(self, **offer) -> None:
        self.origin, self.dialler = origin_session(**offer)
        self.near, self.link = join(self.origin, self)
        self.control: FakeStream
        self.ear = Ear()
        self.lost: Exception | None = None
        self.greeting = asyncio.ensure_future(self.origin.greet())

    def link_made(self, link):
        pass

    def link_lost(self, exc):
        self.lost = exc

    def stream_accepted(self, stream):
        self.control = stream
        return self.ear

    def say(self, *messages) -> None:
        for message in messages:
            self.control.write(encode(message))

    def client(self, data: bytes = encode_v2(CLIENT)) -> tuple[FakeStream, Ear]:
        ear = Ear()
        stream = self.link.open_stream(ear)
        stream.write(data)
        return stream, ear

    async def standing(self) -> Stranger:
        await settle()
        self.say(welcome())
        await self.greeting
        return self


@virtual_time
async def test_the_hello_says_who_and_what_but_not_the_secret():
    stranger = Stranger(name="laptop")
    await settle()
    assert TOKEN.secret.encode() not in stranger.ear.heard
    (hello,) = MessageDecoder().feed(stranger.ear.heard)
    assert isinstance(hello, Hello)
    assert (hello.name, hello.token_id) == ("laptop", TOKEN.id)
    assert [service.name for service in hello.services] == ["default"]
    stranger.greeting.cancel()


@virtual_time
async def test_streams_before_the_welcome_wait_unread_and_are_served_after_it():
    stranger = Stranger()
    clients = [stranger.client(encode_v2(CLIENT) + b"early") for _ in range(3)]
    await seconds(9)
    assert stranger.dialler.dialled == 0
    assert not any(stream.other.is_reading() for stream, _ in clients)
    stranger.say(welcome())
    await settle()
    assert [server.written for server in stranger.dialler.connections] == [b"early"] * 3
    await seconds(20)
    assert all(ear.lost == "not yet" for _, ear in clients)


@virtual_time
async def test_few_streams_are_allowed_before_the_proof_and_many_after():
    stranger = Stranger(max_clients=5000)
    assert stranger.near.allowed == STREAMS_BEFORE_PROOF
    assert not stranger.near.is_trusted
    await stranger.standing()
    assert stranger.near.allowed == 5000
    assert stranger.near.is_trusted


@virtual_time
async def test_without_a_good_proof_nothing_is_ever_dialled():
    for proof in ("", "00" * 32, prove(TOKEN.secret, "origin", EXPORTER)):
        stranger = Stranger()
        stranger.client()
        await settle()
        stranger.say(welcome(proof=proof))
        with pytest.raises(Refused) as caught:
            await stranger.greeting
        assert caught.value.code == Code.NOT_PROVEN
        assert "somebody between the two ends TLS" in caught.value.message
        await settle()
        assert stranger.dialler.dialled == 0
        assert isinstance(stranger.lost, LinkLost)
        assert stranger.lost.code == Code.NOT_PROVEN


@virtual_time
async def test_a_man_in_the_middle_is_refused_by_both():
    house = House()
    origin, dialler = origin_session()
    near, _ = join(origin, house.session(), exporters=(b"1" * 32, b"2" * 32))
    with pytest.raises(Refused):
        await origin.greet()
    await settle()
    assert near.is_closed
    assert dialler.dialled == 0


@virtual_time
async def test_a_remote_that_never_answers_is_given_up():
    stranger = Stranger()
    await seconds(11)
    with pytest.raises(LinkFailed):
        await stranger.greeting
    assert stranger.lost is not None


@pytest.mark.parametrize(
    "messages",
    [
        [Goodbye(reason="", grace=1)],
        [Services(services=[])],
        [Hello(version=1, agent="", name="", token_id="", proof="", services=[])],
    ],
)
def test_an_answer_that_is_none_is_a_violation(messages):
    @virtual_time
    async def story():
        stranger = Stranger()
        await settle()
        stranger.say(*messages)
        with pytest.raises(LinkFailed, match="breaks the protocol"):
            await stranger.greeting
        await settle()
        assert stranger.lost.code == Code.PROTOCOL_VIOLATION

    story()


@pytest.mark.parametrize(
    "message",
    [
        welcome(),
        RefusedMessage(code=1, message=""),
        Hello(version=1, agent="", name="", token_id="", proof="", services=[]),
    ],
)
def test_a_message_out_of_order_later_is_one_too(message):
    @virtual_time
    async def story():
        stranger = await Stranger().standing()
        stranger.say(message)
        await settle()
        assert stranger.lost.code == Code.PROTOCOL_VIOLATION

    story()


@virtual_time
async def test_what_a_remote_repeats_is_logged_once(caplog):
    listen_to_logs(caplog)
    stranger = await Stranger().standing()
    same, other = [Service(name="default")], [Service(name="ssh")]
    stranger.say(*[Services(services=services) for services in [same, other, other]])
    stranger.say(*[Goodbye(reason="", grace=1)] * 5)
    await settle()
    assert facts(caplog, "services changed") == [{"services": "ssh"}]
    assert len(facts(caplog, "goodbye received")) == 1


@virtual_time
async def test_a_refusal_of_many_words_is_not_repeated_in_full_to_the_remote():
    stranger = Stranger()
    await settle()
    stranger.say(RefusedMessage(code=Code.NOT_ALLOWED, message="\N{SNOWMAN}" * 1024))
    with pytest.raises(Refused):
        await stranger.greeting
    await settle()
    assert len(stranger.lost.reason.encode()) <= MAX_REASON


@virtual_time
async def test_refused_by_message_or_by_code_is_the_same():
    stranger = Stranger()
    await settle()
    stranger.say(RefusedMessage(code=Code.BAD_TOKEN, message="no"))
    with pytest.raises(Refused, match="no"):
        await stranger.greeting

    stranger = Stranger()
    await settle()
    stranger.link.close(Code.BAD_TOKEN, "no")
    with pytest.raises(Refused, match="no"):
        await stranger.greeting


@virtual_time
async def test_a_link_lost_during_the_hello_is_tried_again():
    stranger = Stranger()
    await settle()
    stranger.near.die()
    with pytest.raises(LinkError):
        await stranger.greeting


@virtual_time
async def test_a_cancelled_greeting_closes_the_link():
    stranger = Stranger()
    await settle()
    stranger.greeting.cancel()
    await settle()
    assert stranger.near.is_closed


# Data streams


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
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


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
