"""The origin's end of a link: hello, proof, welcome, and what a remote may not say."""

from __future__ import annotations

import pytest
from fake_link import join
from role_doubles import TOKEN, House, facts, listen_to_logs, origin_session
from stranger import CLIENT, EXPORTER, Stranger, welcome

from quictunnel.errors import LinkError, LinkFailed, LinkLost, Refused
from quictunnel.origin.session import STREAMS_BEFORE_PROOF
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    Service,
    Services,
)
from quictunnel.protocol.preamble import encode_v2
from quictunnel.protocol.proof import prove
from quictunnel.session.session import MAX_REASON
from testkit.clock import seconds, settle, virtual_time


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
