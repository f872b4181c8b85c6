"""How an origin comes in at the remote, and how hostile or broken ones do not."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import msgspec
import pytest
from role_doubles import OTHER_TOKEN, TOKEN, House, Tunnel, a_tunnel, check_peer_texts, of_type
from stranger import EXPORTER, Listener, Stranger, hello

from quictunnel.config.grants import Grant
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.tokens import Token
from quictunnel.errors import LinkFailed, LinkLost, Refused
from quictunnel.escaping import MAX_NAME
from quictunnel.events import (
    ClientRejected,
    GoodbyeReceived,
    LinkDropped,
    OriginConnected,
    OriginDisconnected,
    ProofFailed,
    ServiceRefused,
    ServicesChanged,
)
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    Goodbye,
    RefusedMessage,
    RefusedService,
    Service,
    Services,
    Welcome,
    encode,
)
from quictunnel.protocol.proof import check, prove
from quictunnel.remote.host_routes import HostRoutes
from quictunnel.remote.session import EXPIRED, RIVAL_ANSWERS_WITHIN
from testkit.clock import seconds, settle, virtual_time

THIRD_TOKEN = Token("desktop", "t" * 32)


@virtual_time
async def test_a_good_proof_is_answered_with_the_remotes_own():
    stranger = Stranger(House())
    stranger.say(hello(hold=60.0))
    await settle()
    (welcome,) = stranger.answers
    assert isinstance(welcome, Welcome)
    assert check(TOKEN.secret, "remote", EXPORTER, welcome.proof)
    assert welcome.services == [Service(name="default", address="198.51.100.1:9000")]
    assert welcome.hold == 60.0
    assert stranger.far.is_trusted


@virtual_time
async def test_nobody_is_trusted_before_the_proof():
    stranger = Stranger(House())
    await settle()
    assert not stranger.far.is_trusted
    assert stranger.far.allowed == 1


@virtual_time
async def test_a_link_that_says_nothing_is_closed_after_five_seconds():
    stranger = Stranger(House())
    await seconds(4.9)
    assert stranger.lost is None
    await seconds(0.2)
    assert stranger.code == Code.HELLO_TIMEOUT


@virtual_time
async def test_a_hello_that_comes_in_drops_does_not_gain_time():
    stranger = Stranger(House())
    for byte in encode(hello())[:50]:
        stranger.stream.write(bytes([byte]))
        await seconds(0.2)
    assert stranger.code == Code.HELLO_TIMEOUT


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"proof": prove(OTHER_TOKEN.secret, "origin", EXPORTER)}, Code.BAD_TOKEN),
        ({"proof": prove(TOKEN.secret, "remote", EXPORTER)}, Code.BAD_TOKEN),
        ({"proof": prove(TOKEN.secret, "origin", b"f" * 32)}, Code.BAD_TOKEN),
        ({"proof": ""}, Code.BAD_TOKEN),
        ({"proof": "é\x00"}, Code.BAD_TOKEN),
        ({"token_id": "nobody"}, Code.BAD_TOKEN),
        ({"token_id": "", "proof": ""}, Code.NO_TOKEN),
    ],
)
def test_a_failed_proof_is_answered_slowly_and_reported(fields, code):
    @virtual_time
    async def story():
        house = House()
        stranger = Stranger(house)
        stranger.say(hello(**fields))
        await seconds(0.9)
        assert stranger.answers == []
        await seconds(0.2)
        (refused,) = stranger.answers
        assert isinstance(refused, RefusedMessage)
        assert refused.code == code
        assert stranger.ended
        assert not stranger.far.is_trusted
        (failed,) = of_type(house.events, ProofFailed)
        assert failed.peer == "192.0.2.1:1002"
        assert (failed.failures_from_source, failed.failures_total) == (1, 1)
        assert TOKEN.secret not in str(house.events)

    story()


@pytest.mark.parametrize(
    ("house", "fields", "code"),
    [
        ({"grants": {TOKEN.id: Grant(expires_at=0.0)}}, {}, Code.NOT_ALLOWED),
        ({}, {"services": [Service(name="ssh")]}, Code.NOT_ALLOWED),
        ({}, {"services": []}, Code.NOT_ALLOWED),
    ],
)
def test_a_refusal_after_a_good_proof_has_the_remotes_own(house, fields, code):
    @virtual_time
    async def story():
        stranger = Stranger(House(**house))
        stranger.say(hello(**fields))
        await settle()
        (refused,) = stranger.answers
        assert refused.code == code
        assert refused.proof == prove(TOKEN.secret, "remote", EXPORTER)

    story()


@virtual_time
async def test_the_refusal_of_a_second_origin_has_the_remotes_proof():
    house = House()
    await Tunnel(house, instance="one run").up()
    second = Stranger(house)
    second.say(hello(instance="another run"))
    await settle()
    (refused,) = second.answers
    assert refused.code == Code.SERVICE_TAKEN
    assert refused.proof == prove(TOKEN.secret, "remote", EXPORTER)


@virtual_time
async def test_a_token_that_is_revoked_during_the_hello_is_refused_with_a_proof():
    tokens = {TOKEN.id: TOKEN}
    house = House(tokens=tokens)
    first = await Tunnel(house, instance="one run").up()
    first.far.freeze()
    second = Stranger(house)
    second.say(hello(instance="another run"))
    await settle()
    tokens.clear()
    await seconds(RIVAL_ANSWERS_WITHIN + 1.1)
    (refused,) = second.answers
    assert refused.code == Code.BAD_TOKEN
    assert refused.proof == prove(TOKEN.secret, "remote", EXPORTER)


@pytest.mark.parametrize(
    "fields",
    [
        {"proof": ""},
        {"proof": "00" * 32},
        {"token_id": "nobody"},
        {"token_id": "", "proof": ""},
        {"version": 2},
        {"version": 2, "proof": "00" * 32},
    ],
)
def test_an_origin_without_a_good_proof_gets_none(fields):
    """Otherwise a stranger could guess a weak secret offline, or without a delay."""

    @virtual_time
    async def story():
        stranger = Stranger(House())
        stranger.say(hello(**fields))
        await seconds(1.1)
        (refused,) = stranger.answers
        assert isinstance(refused, RefusedMessage)
        assert refused.proof == ""

    story()


LONG = "\x1b" * 255
"""A name of a hostile origin."""


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"proof": ""},
        {"token_id": LONG},
        {"version": 2},
        {"services": [Service(name="default", share="\x1b" * 63)]},
        {"services": [Service(name="a", host=LONG), Service(name="default")]},
        {"services": [Service(name="a", protocol=LONG), Service(name="default")]},
    ],
)
def test_an_origins_texts_are_short_in_events(fields):
    @virtual_time
    async def story():
        house = House()
        stranger = Stranger(house)
        stranger.say(hello(name=LONG, agent=LONG, **fields))
        await seconds(2)
        if not stranger.ended:
            other = Stranger(house)  # is refused, because the first one answers
            other.say(hello(name=LONG, instance="another"))
            await seconds(2)
            stranger.say(Goodbye(reason="\x1b" * 1024, grace=1))
            await settle()
            assert of_type(house.events, GoodbyeReceived)
        broken = Stranger(house)
        broken.stream.write(b'\0\0\1\0{"type":"' + b"\\u001b" * 41 + b'"' + b" " * 100)
        await seconds(4)
        for each in (stranger, broken):
            each.link.close()
        await settle()
        check_peer_texts(house.events)

    story()


@virtual_time
async def test_who_is_refused_and_does_not_leave_is_closed():
    stranger = Stranger(House())
    stranger.say(hello(proof=""))
    await seconds(4)
    assert stranger.code == Code.BAD_TOKEN


@virtual_time
async def test_a_refused_origin_may_end_its_control_stream_to_leave_at_once():
    stranger = Stranger(House())
    stranger.say(hello(proof=""))
    await seconds(1.1)
    assert stranger.lost is None
    stranger.stream.write_eof()
    await settle()
    assert stranger.code == Code.BAD_TOKEN


@virtual_time
async def test_an_unknown_token_and_a_bad_proof_look_the_same():
    answers = []
    for fields in ({"token_id": "nobody"}, {"proof": "00" * 32}):
        stranger = Stranger(House())
        stranger.say(hello(**fields))
        await seconds(2)
        answers.append(stranger.answers)
    assert answers[0] == answers[1] != []


@virtual_time
async def test_another_version_is_refused_at_once():
    stranger = Stranger(House())
    stranger.say(hello(version=2))
    await settle()
    assert stranger.answers[0].code == Code.BAD_VERSION


@virtual_time
async def test_a_service_without_an_outside_address_is_not_allowed():
    stranger = Stranger(House())
    stranger.say(hello(services=[Service(name="ssh")]))
    await settle()
    assert stranger.answers[0].code == Code.NOT_ALLOWED


@virtual_time
async def test_of_several_services_those_are_granted_that_have_one():
    stranger = Stranger(House("web", "db"))
    stranger.say(hello(services=[Service(name=name) for name in ("web", "ssh", "db", "web")]))
    await settle()
    assert [service.name for service in stranger.answers[0].services] == ["web", "db"]


@pytest.mark.parametrize(
    "messages",
    [
        [Services(services=[])],
        [Goodbye(reason="", grace=1)],
        [Welcome(proof="", instance="", services=[], hold=1)],
        [hello(), hello()],
        [hello(), Welcome(proof="", instance="", services=[], hold=1)],
        [hello(), RefusedMessage(code=1, message="")],
        [hello(proof="wrong"), hello()],
        [hello(proof="wrong"), Goodbye(reason="", grace=1)],
    ],
)
def test_messages_out_of_order_close_the_link(messages):
    @virtual_time
    async def story():
        stranger = Stranger(House())
        stranger.say(*messages)
        await settle()
        assert stranger.code == Code.PROTOCOL_VIOLATION

    story()


@virtual_time
async def test_a_second_stream_of_the_origin_closes_the_link():
    for first in ([], [hello()]):
        stranger = Stranger(House())
        stranger.say(*first)
        await settle()
        stranger.link.open_stream(Listener(stranger))
        await settle()
        assert stranger.code == Code.PROTOCOL_VIOLATION


@virtual_time
async def test_a_control_stream_that_ends_or_breaks_closes_the_link():
    for end in ("write_eof", "abort"):
        for first in ([], [hello()]):
            stranger = Stranger(House())
            stranger.say(*first)
            await settle()
            getattr(stranger.stream, end)()
            await settle()
            assert stranger.code == Code.PROTOCOL_VIOLATION


@virtual_time
async def test_a_link_lost_before_the_hello_leaves_nothing_behind():
    house = House()
    stranger = Stranger(house)
    await settle()
    stranger.far.die()
    await seconds(10)
    assert house.ended == [stranger.remote]


@virtual_time
async def test_a_link_lost_before_the_late_refusal_leaves_nothing_behind():
    house = House()
    stranger = Stranger(house)
    stranger.say(hello(proof=""))
    await settle()
    stranger.far.die()
    await seconds(10)
    assert house.ended == [stranger.remote]


@virtual_time
async def test_the_same_origin_takes_over_and_the_old_link_is_told():
    house = House()
    old = await Tunnel(house).up()
    client = house.client()
    await settle()
    new = await Tunnel(house, take_over=True).up()
    assert old.far.code == Code.TAKEN_OVER
    lost = await old.origin.life.ended
    assert isinstance(lost, LinkLost)
    assert lost.code == Code.TAKEN_OVER
    assert client.was_reset
    assert house.registry.find("default") is new.remote
    (left,) = of_type(house.events, OriginDisconnected)
    assert left.reason == "a newer link of the same origin has taken over"


@virtual_time
async def test_the_same_origin_does_not_push_a_living_one_aside():
    house = House()
    old = await Tunnel(house).up()
    for instance in ("", "another process"):
        with pytest.raises(Refused, match="--take-over to replace that one") as caught:
            await Tunnel(house, instance=instance).up()
        assert caught.value.code == Code.SERVICE_TAKEN
    assert not old.far.is_closed
    assert house.registry.find("default") is old.remote


@virtual_time
async def test_the_same_process_replaces_its_link_at_once():
    house = House()
    old = await Tunnel(house, instance="process").up()
    old.far.freeze()
    new = await Tunnel(house, instance="process").up()
    assert house.registry.find("default") is new.remote


@pytest.mark.parametrize("name", ["box", "other"])
def test_an_origin_that_does_not_answer_a_ping_is_replaced(name):
    @virtual_time
    async def story():
        house = House()
        old = await Tunnel(house).up()
        old.far.freeze()  # killed, and not yet noticed
        began = asyncio.get_running_loop().time()
        new = await Tunnel(house, name=name).up()
        assert asyncio.get_running_loop().time() - began == pytest.approx(RIVAL_ANSWERS_WITHIN)
        assert house.registry.find("default") is new.remote

    story()


@virtual_time
async def test_a_host_name_of_a_killed_origin_goes_to_another_one_of_the_same_token():
    place = SimpleNamespace(protocol="tls", port=443)
    routes = HostRoutes(RemoteSettings(hosts=("*",)), lambda *_: None, lambda _: set())
    routes.add_place(place)
    house = House(routes=routes)
    asked = hello(services=[Service(name="web", host="a.test")])
    first, second, third = (Stranger(house) for _ in range(3))
    first.say(asked)
    await settle()
    second.say(msgspec.structs.replace(asked, name="desktop"))
    await settle()
    (refused,) = second.answers
    assert refused.code == Code.SERVICE_TAKEN
    assert refused.message.startswith("origin 'box' already serves host a.test; stop that")
    first.far.freeze()  # killed, and not yet noticed
    third.say(msgspec.structs.replace(asked, name="nas"))
    await seconds(RIVAL_ANSWERS_WITHIN)
    (welcome,) = third.answers
    assert welcome.services == [Service(name="web", address="a.test:443")]
    assert house.registry.find(routes.find("tls", "a.test").key) is third.remote


@virtual_time
async def test_a_link_lost_while_its_rival_is_asked_leaves_nothing_behind():
    house = House()
    old = await Tunnel(house).up()
    old.far.freeze()
    stranger = Stranger(house)
    stranger.say(hello())
    await settle()
    stranger.far.die()
    await seconds(10)
    assert house.ended == [stranger.remote]
    assert house.registry.find("default") is old.remote


@virtual_time
async def test_of_two_origins_that_want_a_place_at_once_one_gets_it():
    house = House()
    old = await Tunnel(house).up()
    old.far.freeze()
    strangers = [Stranger(house), Stranger(house)]
    for number, stranger in enumerate(strangers):
        stranger.say(hello(instance=str(number)))
    await seconds(2)
    assert [type(stranger.answers[0]) for stranger in strangers] == [Welcome, RefusedMessage]


@virtual_time
async def test_another_origin_does_not_push_a_living_one_aside():
    house = House()
    old = await Tunnel(house).up()
    with pytest.raises(Refused) as caught:
        await Tunnel(house, name="other").up()
    assert caught.value.code == Code.SERVICE_TAKEN
    assert not old.far.is_closed


@virtual_time
async def test_another_origin_takes_the_place_of_a_silent_one():
    house = House()
    old = await Tunnel(house).up()
    old.far.go_silent()
    new = await Tunnel(house, name="other").up()
    assert old.far.code == Code.TAKEN_OVER
    assert house.registry.find("default") is new.remote


@pytest.mark.parametrize(
    ("token", "told"),
    [(TOKEN, "origin other has taken over"), (THIRD_TOKEN, "another origin has taken over")],
)
def test_a_taken_over_origin_learns_by_which_one_if_both_have_the_same_token(token, told):
    @virtual_time
    async def story():
        house = House(tokens={TOKEN.id: TOKEN, THIRD_TOKEN.id: THIRD_TOKEN})
        old = await Tunnel(house).up()
        old.far.go_silent()
        await Tunnel(house, name="other", token=token).up()
        assert str(await old.origin.life.ended) == told
        (dropped,) = of_type(house.events, LinkDropped)
        (left,) = of_type(house.events, OriginDisconnected)
        assert dropped.reason == left.reason == "origin other has taken over"

    story()


@virtual_time
async def test_who_loses_one_of_two_services_keeps_the_other_and_is_told():
    house = House("web", "ssh")
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web"), Service(name="ssh")]))
    await settle()
    stranger.far.go_silent()
    await Tunnel(house, "web", name="other").up()
    stranger.far.come_back()
    await settle()
    lost = RefusedService(name="web", code=Code.TAKEN_OVER, message="origin other has taken over")
    assert stranger.answers[-1] == Services(
        services=[Service(name="ssh", address="198.51.100.1:9000")], refused=[lost]
    )
    assert house.registry.find("ssh") is stranger.remote


@virtual_time
async def test_a_share_that_the_remote_does_not_know_is_refused_for_its_service_only():
    stranger = Stranger(House("web", "ssh", "db"))
    services = [Service(name="web", share="quorum"), Service(name="ssh", share="balance")]
    services.append(Service(name="db", share="failover", port=0))
    stranger.say(hello(services=services))
    await settle()
    (welcome,) = stranger.answers
    assert [service.name for service in welcome.services] == ["ssh"]
    assert [(refused.name, refused.code) for refused in welcome.refused] == [
        ("web", Code.NOT_ALLOWED),
        ("db", Code.NOT_ALLOWED),
    ]
    assert "does not know the share 'quorum'" in welcome.refused[0].message


@virtual_time
async def test_origins_that_share_a_service_are_welcome_side_by_side():
    house = House()
    strangers = []
    for name in ("first", "second", "third"):
        strangers.append(Stranger(house))
        service = Service(name="default", share="balance")
        strangers[-1].say(hello(name=name, services=[service]))
        await settle()
        (welcome,) = strangers[-1].answers
        assert [service.name for service in welcome.services] == ["default"]
    assert {house.registry.find("default") for _ in strangers} == {
        stranger.remote for stranger in strangers
    }
    assert [event.origin for event in of_type(house.events, OriginConnected)] == [
        "first",
        "second",
        "third",
    ]
    other = Stranger(house)
    other.say(hello(name="other", services=[Service(name="default", share="failover")]))
    await seconds(RIVAL_ANSWERS_WITHIN)
    (refused,) = other.answers
    assert refused.code == Code.SERVICE_TAKEN
    strangers[0].say(Goodbye(reason="", grace=1))
    await settle()
    assert house.registry.sessions_at("default") == (strangers[1].remote, strangers[2].remote)
    assert house.routes.freed == []


@virtual_time
async def test_an_origin_shares_a_service_later():
    house = House()
    first, second = Stranger(house), Stranger(house)
    first.say(hello(name="first"))
    await settle()
    shared = [Service(name="default", share="failover")]
    first.say(Services(services=shared))
    await settle()
    second.say(hello(name="second", services=shared))
    await settle()
    assert isinstance(second.answers[0], Welcome)
    first.say(Services(services=[Service(name="default")]))
    await settle()
    assert [refused.code for refused in first.answers[-1].refused] == [Code.SERVICE_TAKEN]
    assert house.registry.find("default") is second.remote


@virtual_time
async def test_an_origin_changes_its_services():
    house = House("web", "ssh")
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web")]))
    await settle()
    client = house.client("ssh")
    await settle()
    assert house.admission.pending == 1
    stranger.say(Services(services=[Service(name="ssh")]))
    await settle()
    assert [service.name for service in stranger.answers[-1].services] == ["ssh"]
    assert house.admission.pending == 0
    assert not client.is_over
    assert house.registry.find("web") is None


@virtual_time
async def test_what_another_origin_serves_is_not_granted_later_either():
    house = House("web", "ssh")
    await Tunnel(house, "ssh", name="other").up()
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web")]))
    stranger.say(Services(services=[Service(name="web"), Service(name="ssh")]))
    await settle()
    assert [service.name for service in stranger.answers[-1].services] == ["web"]
    assert stranger.lost is None


@virtual_time
async def test_each_service_is_judged_on_its_own():
    house = House("web", "ssh")
    await Tunnel(house, "web", name="other").up()
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name=name) for name in ("web", "ssh", "git")]))
    await settle()
    (welcome,) = stranger.answers
    assert [service.name for service in welcome.services] == ["ssh"]
    assert [(refused.name, refused.code) for refused in welcome.refused] == [
        ("git", Code.NOT_ALLOWED),
        ("web", Code.SERVICE_TAKEN),
    ]
    assert welcome.refused[1].message.startswith("origin 'other' already serves ")
    reported = [(event.service, event.reason) for event in of_type(house.events, ServiceRefused)]
    assert reported == [(refused.name, refused.message) for refused in welcome.refused]


@virtual_time
async def test_free_ports_are_left_for_the_end_and_the_answer_has_the_order_of_the_list(
    monkeypatch,
):
    house = House("auto-1", "ssh", "auto-2", "web", "all")
    obtained = []
    obtain = house.routes.obtain

    def note(identity, service, beside):
        obtained.append(service.name)
        return obtain(identity, service, beside)

    monkeypatch.setattr(house.routes, "obtain", note)
    asked = [
        Service(name="auto-1", port=0),
        Service(name="no-1", port=0),
        Service(name="ssh", port=22),
        Service(name="no-2", ports="9-5"),
        Service(name="auto-2", port=0),
        Service(name="web", host="a.test"),
        Service(name="all", ports="80-89"),
    ]
    stranger = Stranger(house)
    stranger.say(hello(services=asked))
    await settle()
    assert obtained == ["ssh", "no-2", "web", "all", "auto-1", "no-1", "auto-2"]
    (welcome,) = stranger.answers
    names = [service.name for service in welcome.services]
    assert names == ["auto-1", "ssh", "auto-2", "web", "all"]
    assert [refused.name for refused in welcome.refused] == ["no-1", "no-2"]


@virtual_time
async def test_a_place_is_free_again_if_the_claim_fails(monkeypatch):
    house = House("web")

    def fail(*_, **__):
        raise Refused(Code.SERVICE_TAKEN, "taken")

    monkeypatch.setattr(house.registry, "claim", fail)
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web")]))
    await settle()
    assert [answer.message for answer in stranger.answers] == ["taken"]
    assert house.routes.freed == ["web"]


@virtual_time
async def test_a_new_list_replaces_the_old_one():
    house = House("web", "ssh")
    await Tunnel(house, "web", name="other").up()
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="ssh")]))
    for vain in ("web", "git"):
        stranger.say(Services(services=[Service(name=vain)]))
    await settle()
    for answer, vain in zip(stranger.answers[1:], ("web", "git"), strict=True):
        assert answer.services == []
        assert [refused.name for refused in answer.refused] == [vain]
    assert house.routes.freed == ["ssh"]
    stranger.say(Services(services=[Service(name="ssh")]))
    await settle()
    changes = [event.services for event in of_type(house.events, ServicesChanged)]
    assert changes == [(), ("ssh",)]


@virtual_time
async def test_a_right_is_gone_although_all_else_is_taken():
    house = House("web", "ssh")
    await Tunnel(house, "web", name="other").up()
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web"), Service(name="ssh")]))
    await settle()
    del house.routes.routes["ssh"]
    stranger.remote.judge_again()
    await settle()
    answer = stranger.answers[-1]
    assert answer.services == []
    assert {refused.name for refused in answer.refused} == {"web", "ssh"}
    assert house.registry.find("ssh") is None


@virtual_time
async def test_a_loser_is_told_by_its_own_names():
    house = House("place", "other")
    for name in ("ssh", "shell"):
        house.routes.routes[name] = house.routes.routes["place"]
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="ssh"), Service(name="other")]))
    await settle()
    stranger.far.go_silent()
    await Tunnel(house, "shell", name="n" * 255).up()
    stranger.far.come_back()
    await settle()
    (lost,) = stranger.answers[-1].refused
    assert (lost.name, lost.code) == ("ssh", Code.TAKEN_OVER)
    assert lost.message == f"origin {'n' * (MAX_NAME - 1)}… has taken over"


@virtual_time
async def test_two_services_at_one_place_are_one():
    house = House("web")
    house.routes.routes["same"] = house.routes.routes["web"]
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web"), Service(name="same")]))
    await settle()
    (welcome,) = stranger.answers
    assert [service.name for service in welcome.services] == ["web"]
    assert [refused.name for refused in welcome.refused] == ["same"]


@virtual_time
async def test_a_hello_without_services_is_refused():
    stranger = Stranger(House())
    stranger.say(hello(services=[]))
    await settle()
    (refused,) = stranger.answers
    assert (refused.code, refused.message) == (Code.NOT_ALLOWED, "the origin asks for no service")


@virtual_time
async def test_a_client_that_has_waited_knows_the_service_by_its_origins_name():
    house = House("2222")
    client = house.client("2222")
    house.routes.routes["ssh"] = house.routes.routes["2222"]
    tunnel = await Tunnel(house, "ssh").up()
    await settle()
    client.send(b"x")
    await settle()
    (server,) = tunnel.upstream.connections
    assert server.written == b"x"


@virtual_time
async def test_an_expired_token_is_refused():
    house = House(grants={TOKEN.id: Grant(expires_at=time.time() - 1)})
    stranger = Stranger(house)
    stranger.say(hello())
    await settle()
    (refused,) = stranger.answers
    assert (refused.code, refused.message) == (Code.NOT_ALLOWED, EXPIRED)


@virtual_time
async def test_a_bad_proof_does_not_learn_that_the_token_has_expired():
    house = House(grants={TOKEN.id: Grant(expires_at=time.time() - 1)})
    stranger = Stranger(house)
    stranger.say(hello(proof=""))
    await seconds(2)
    assert stranger.answers[0].code == Code.BAD_TOKEN


@virtual_time
async def test_a_token_has_a_limit_of_clients():
    house = House("web", "ssh", grants={TOKEN.id: Grant(max_clients=2)})
    await Tunnel(house, "web", name="one").up()
    await Tunnel(house, "ssh", name="two").up()
    clients = [house.client(service) for service in ("web", "ssh", "web", "ssh")]
    await settle()
    assert [client.was_reset for client in clients] == [False, False, True, True]
    rejected = of_type(house.events, ClientRejected)
    assert {event.reason for event in rejected} == {"the token's limit of clients is reached (2)"}
    clients[0].abort()
    await settle()
    assert not house.client("ssh").was_reset
    assert house.settings.usage == {TOKEN.id: 2}


@virtual_time
async def test_rights_that_are_taken_away_are_gone_at_once():
    house = House("web", "ssh")
    stranger = Stranger(house)
    stranger.say(hello(services=[Service(name="web"), Service(name="ssh")]))
    await settle()
    del house.routes.routes["web"]
    stranger.remote.judge_again()
    await settle()
    assert [service.name for service in stranger.answers[-1].services] == ["ssh"]
    del house.routes.routes["ssh"]
    stranger.remote.judge_again()
    await settle()
    answer = stranger.answers[-1]
    assert (answer.services, len(answer.refused)) == ([], 2)
    assert house.registry.find("ssh") is None


@virtual_time
async def test_an_origin_is_reported_when_it_connects_and_disconnects():
    tunnel = await a_tunnel()
    await seconds(5)
    tunnel.near.close(Code.NO_ERROR, "bye")
    await settle()
    (connected,) = of_type(tunnel.house.events, OriginConnected)
    assert (connected.origin, connected.token) == ("box", TOKEN.id)
    assert connected.services == ("default",)
    (left,) = of_type(tunnel.house.events, OriginDisconnected)
    assert left.duration == pytest.approx(5)
    assert left.reason == "bye"
    assert TOKEN.secret not in str(tunnel.house.events)


@virtual_time
async def test_an_origin_hears_that_its_token_is_not_accepted():
    tunnel = Tunnel(House(), token=OTHER_TOKEN)
    with pytest.raises(Refused) as caught:
        await tunnel.origin.greet()
    assert caught.value.code == Code.BAD_TOKEN
    await settle()
    assert tunnel.near.is_closed


@virtual_time
async def test_a_remote_that_ends_the_link_during_the_hello_is_tried_again():
    tunnel = Tunnel(House())
    tunnel.remote.close(Code.GOODBYE, "shutting down")
    with pytest.raises(LinkFailed):
        await tunnel.origin.greet()
