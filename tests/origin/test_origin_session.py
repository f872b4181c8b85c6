"""The origin's end of a link: hello, proof, welcome, and violations by the remote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_link import join
from role_doubles import OTHER_TOKEN, TOKEN, House, check_peer_texts, of_type, origin_session
from scripted_remote import CLIENT, EXPORTER, ScriptedRemote, welcome

from quictunnel.config.services import parse_services
from quictunnel.errors import LinkError, LinkFailed, LinkLost, Refused
from quictunnel.escaping import MAX_NAME, MAX_SENTENCE, escape
from quictunnel.events import (
    ClientAccepted,
    GoodbyeReceived,
    PreambleRejected,
    ServiceNotGranted,
    ServicesGranted,
    UnknownServiceRequested,
)
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.listing import NO_HOST_NAMES
from quictunnel.origin.offer import Offer
from quictunnel.origin.session import COMPARE_TOKENS, STREAMS_BEFORE_PROOF
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    RefusedService,
    Service,
    Services,
)
from quictunnel.protocol.preamble import encode_v2
from quictunnel.protocol.proof import prove
from quictunnel.session.session import MAX_CLOSE_REASON
from testkit.clock import seconds, settle, virtual_time


@virtual_time
async def test_the_hello_names_the_origin_and_services_but_not_the_secret():
    remote = ScriptedRemote(name="laptop")
    await settle()
    assert TOKEN.secret.encode() not in remote.received.data
    (hello,) = MessageDecoder().feed(remote.received.data)
    assert isinstance(hello, Hello)
    assert (hello.name, hello.token_id) == ("laptop", TOKEN.id)
    assert [service.name for service in hello.services] == ["default"]
    remote.greeting.cancel()


@pytest.mark.parametrize(
    ("where", "is_explained"), [("www.a.test=8000", True), ("2222=8000", False)]
)
@virtual_time
async def test_a_remote_that_does_not_know_host_names_is_explained(where, is_explained):
    """A remote of this wire before host names takes such a service for one without a port."""
    (settings,) = parse_services([where])
    name = settings.name
    sentence = f"the remote has no outside address for the service {name!r}"
    refused = RefusedService(name=name, code=Code.NOT_ALLOWED, message=sentence)
    expected = f"{sentence}; {NO_HOST_NAMES}" if is_explained else sentence

    remote = ScriptedRemote(offer=Offer({name: ExposedService(settings)}))
    await remote.established(services=[], refused=[refused])
    assert [event.reason for event in of_type(remote.events, ServiceNotGranted)] == [expected]

    remote = ScriptedRemote(offer=Offer({name: ExposedService(settings)}))
    await settle()
    remote.send(RefusedMessage(code=Code.NOT_ALLOWED, message=sentence))
    with pytest.raises(Refused) as caught:
        await remote.greeting
    assert caught.value.message == expected


@virtual_time
async def test_streams_before_the_welcome_are_not_read_until_it_arrives():
    remote = ScriptedRemote()
    clients = [remote.client(encode_v2(CLIENT) + b"early") for _ in range(3)]
    await seconds(9)
    assert remote.upstream.attempts == 0
    assert not any(stream.other.is_reading() for stream, _ in clients)
    remote.send(welcome())
    await settle()
    assert [server.written for server in remote.upstream.connections] == [b"early"] * 3
    await seconds(20)
    assert all(received.lost == "not yet" for _, received in clients)


@virtual_time
async def test_the_proof_raises_the_limit_on_streams():
    remote = ScriptedRemote(max_clients=5000)
    assert remote.near.allowed == STREAMS_BEFORE_PROOF
    assert not remote.near.is_trusted
    await remote.established()
    assert remote.near.allowed == 5000
    assert remote.near.is_trusted


@virtual_time
async def test_without_a_valid_proof_no_origin_server_is_connected_to():
    for proof in ("", "00" * 32, prove(TOKEN.secret, "origin", EXPORTER)):
        remote = ScriptedRemote()
        remote.client()
        await settle()
        remote.send(welcome(proof=proof))
        with pytest.raises(Refused) as caught:
            await remote.greeting
        assert caught.value.code == Code.NOT_PROVEN
        assert "the token differs, or something in between" in caught.value.message
        await settle()
        assert remote.upstream.attempts == 0
        assert isinstance(remote.lost, LinkLost)
        assert remote.lost.code == Code.NOT_PROVEN


@virtual_time
async def test_both_ends_refuse_a_man_in_the_middle():
    house = House()
    origin, upstream = origin_session()
    near, _ = join(origin, house.session(), exporters=(b"1" * 32, b"2" * 32))
    with pytest.raises(Refused):
        await origin.greet()
    await settle()
    assert near.is_closed
    assert upstream.attempts == 0


@virtual_time
async def test_a_remote_that_never_answers_fails_the_greeting():
    remote = ScriptedRemote()
    await seconds(11)
    with pytest.raises(LinkFailed):
        await remote.greeting
    assert remote.lost is not None


@pytest.mark.parametrize(
    "messages",
    [
        [Goodbye(reason="", grace=1)],
        [Services(services=[])],
        [Hello(version=1, agent="", name="", token_id="", proof="", services=[])],
    ],
)
def test_another_answer_than_a_welcome_is_a_violation(messages):
    @virtual_time
    async def story():
        remote = ScriptedRemote()
        await settle()
        remote.send(*messages)
        with pytest.raises(LinkFailed, match="breaks the protocol"):
            await remote.greeting
        await settle()
        assert remote.lost.code == Code.PROTOCOL_VIOLATION

    story()


@pytest.mark.parametrize(
    "message",
    [
        welcome(),
        RefusedMessage(code=1, message=""),
        Hello(version=1, agent="", name="", token_id="", proof="", services=[]),
    ],
)
def test_a_greeting_in_an_established_session_is_a_violation(message):
    @virtual_time
    async def story():
        remote = await ScriptedRemote().established()
        remote.send(message)
        await settle()
        assert remote.lost.code == Code.PROTOCOL_VIOLATION

    story()


@virtual_time
async def test_a_goodbye_that_a_remote_repeats_is_reported_once():
    remote = await ScriptedRemote().established()
    remote.send(*[Goodbye(reason="", grace=1)] * 5)
    await settle()
    assert len(of_type(remote.events, GoodbyeReceived)) == 1


@virtual_time
async def test_a_part_of_a_list_that_is_not_due_closes_the_link():
    remote = await ScriptedRemote().established()
    remote.send(Services(services=[], part=2, parts=2))
    await settle()
    assert remote.lost.code == Code.PROTOCOL_VIOLATION


@virtual_time
async def test_an_origin_that_leaves_sends_no_list():
    remote = await ScriptedRemote().established()
    remote.client(encode_v2(CLIENT))
    await settle()
    remote.origin.say_goodbye("", 5)
    remote.origin.change_offer(Offer({}))
    await settle()
    *_, last = MessageDecoder().feed(remote.received.data)
    assert isinstance(last, Goodbye)


@virtual_time
async def test_a_long_refusal_is_not_repeated_in_full_to_the_remote():
    remote = ScriptedRemote()
    await settle()
    remote.send(RefusedMessage(code=Code.NOT_ALLOWED, message="\N{SNOWMAN}" * 1024))
    with pytest.raises(Refused):
        await remote.greeting
    await settle()
    assert len(remote.lost.reason.encode()) <= MAX_CLOSE_REASON


@virtual_time
async def test_a_refusal_by_message_or_by_code_has_the_same_effect():
    remote = ScriptedRemote()
    await settle()
    remote.send(RefusedMessage(code=Code.BAD_TOKEN, message="no"))
    with pytest.raises(Refused, match=COMPARE_TOKENS):
        await remote.greeting

    remote = ScriptedRemote()
    await settle()
    remote.link.close(Code.BAD_TOKEN, "no")
    with pytest.raises(Refused, match=COMPARE_TOKENS):
        await remote.greeting


@pytest.mark.parametrize(
    ("proof", "is_proven"),
    [
        (prove(TOKEN.secret, "remote", EXPORTER), True),
        (prove(TOKEN.secret, "origin", EXPORTER), False),
        (prove(TOKEN.secret, "remote", b"f" * 32), False),
        (prove(OTHER_TOKEN.secret, "remote", EXPORTER), False),
        ("", False),
        ("é", False),
    ],
)
def test_a_refusal_is_proven_by_the_proof_of_this_link_alone(proof, is_proven):
    @virtual_time
    async def story():
        remote = ScriptedRemote()
        await settle()
        remote.send(RefusedMessage(code=Code.SERVICE_TAKEN, message="taken", proof=proof))
        with pytest.raises(Refused) as caught:
            await remote.greeting
        assert caught.value.is_proven is is_proven

    story()


@pytest.mark.parametrize(("token", "is_proven"), [(TOKEN, False), (None, True)])
def test_a_final_code_before_the_welcome_is_proven_by_the_certificate_alone(token, is_proven):
    """Without a token, a link is made only if the certificate verifies."""

    @virtual_time
    async def story():
        remote = ScriptedRemote(token=token)
        await settle()
        remote.link.close(Code.NO_TOKEN, "no")
        with pytest.raises(Refused) as caught:
            await remote.greeting
        assert caught.value.is_proven is is_proven

    story()


@virtual_time
async def test_a_link_lost_during_the_hello_fails_the_greeting():
    remote = ScriptedRemote()
    await settle()
    remote.near.die()
    with pytest.raises(LinkError):
        await remote.greeting


@virtual_time
async def test_a_cancelled_greeting_closes_the_link():
    remote = ScriptedRemote()
    await settle()
    remote.greeting.cancel()
    await settle()
    assert remote.near.is_closed


LONG = "\x1b" * 255
"""A text of a hostile remote."""


@virtual_time
async def test_a_remotes_texts_are_short_in_events():
    service = Service(name="default", address=LONG)
    refused = RefusedService(name="web", code=Code.NOT_ALLOWED, message=LONG)
    remote = await ScriptedRemote("default", "web").established(
        services=[service], refused=[refused], max_services=1024
    )
    for name, client_id in (("default", "\x1b" * 128), ("\x1b" * 200, "\x1b" * 128)):
        remote.client(encode_v2(replace(CLIENT, service=name, client_id=client_id)))
    remote.client(b"\x1b" * 300)
    await settle()
    remote.send(Goodbye(reason="\x1b" * 1024, grace=1))
    await settle()
    kinds = {type(event) for event in remote.events}
    assert {
        ClientAccepted,
        GoodbyeReceived,
        PreambleRejected,
        ServiceNotGranted,
        ServicesGranted,
        UnknownServiceRequested,
    } <= kinds
    granted = of_type(remote.events, ServicesGranted)[0].services[0]
    assert len(escape(granted.address)) <= MAX_NAME
    check_peer_texts([each for each in remote.events if not isinstance(each, ServicesGranted)])


@virtual_time
async def test_a_long_host_name_in_an_address_is_not_cut():
    address = f"{'www.' * 60}example.com:443"
    service = Service(name="default", address=address)
    remote = await ScriptedRemote().established(services=[service])
    assert of_type(remote.events, ServicesGranted)[0].services[0].address == address


@virtual_time
async def test_the_reason_of_a_refusal_is_short():
    remote = ScriptedRemote()
    await settle()
    remote.send(RefusedMessage(code=Code.NOT_ALLOWED, message="\x1b" * 1024))
    with pytest.raises(Refused) as refused:
        await remote.greeting
    assert len(escape(str(refused.value))) <= MAX_SENTENCE
