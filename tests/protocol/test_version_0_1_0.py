"""Version 0.1.0 and this version understand each other's messages.

`OLD_MESSAGES` is what an end of version 0.1.0 sends. `Old...` are its types: what they decode is
what such an end sees. They never change.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    MAX_MESSAGE,
    MAX_SERVICES,
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    RefusedService,
    Service,
    Services,
    Welcome,
    encode,
)

OldName = Annotated[str, Meta(pattern=r"\A[a-z0-9._-]{1,63}\Z")]
OldWord = Annotated[str, Meta(max_length=255)]
OldSentence = Annotated[str, Meta(max_length=1024)]
OldSeconds = Annotated[float, Meta(ge=0, le=366 * 86_400)]
OldNumber = Annotated[int, Meta(ge=0, le=2**62 - 1)]


class OldService(msgspec.Struct, frozen=True):
    name: OldName
    address: Annotated[str, Meta(max_length=261)] | None = None


OldServiceList = Annotated[list[OldService], Meta(max_length=128)]


class OldHello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    version: OldNumber
    agent: OldWord
    name: OldWord
    token_id: OldWord
    proof: OldWord
    services: OldServiceList
    hold: OldSeconds | None = None
    instance: OldWord = ""


class OldWelcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    proof: OldWord
    instance: OldWord
    services: OldServiceList
    hold: OldSeconds


class OldRefused(msgspec.Struct, frozen=True, tag_field="type", tag="refused"):
    code: OldNumber
    message: OldSentence


class OldServices(msgspec.Struct, frozen=True, tag_field="type", tag="services"):
    services: OldServiceList


class OldGoodbye(msgspec.Struct, frozen=True, tag_field="type", tag="goodbye"):
    reason: OldSentence
    grace: OldSeconds


OldMessage = OldHello | OldWelcome | OldRefused | OldServices | OldGoodbye

PROOF = "fcb5a283438201e5e216c0d4a517971195626903b5e68b86504c7e2fa78d6857"

OLD_MESSAGES = [
    (
        b'{"type":"hello","version":1,"agent":"quictunnel/0.1.0","name":"laptop","token_id":'
        b'"7f3a9c01","proof":"' + PROOF.encode() + b'","services":[{"name":"default",'
        b'"address":null}],"hold":900.0,"instance":"b1946ac92492d234"}',
        Hello(
            version=1,
            agent="quictunnel/0.1.0",
            name="laptop",
            token_id="7f3a9c01",
            proof=PROOF,
            services=[Service(name="default")],
            hold=900.0,
            instance="b1946ac92492d234",
        ),
    ),
    (
        b'{"type":"welcome","proof":"' + PROOF.encode() + b'","instance":"5f0c6b1de2a94387",'
        b'"services":[{"name":"default","address":"[::]:9000"}],"hold":900.0}',
        Welcome(
            proof=PROOF,
            instance="5f0c6b1de2a94387",
            services=[Service(name="default", address="[::]:9000")],
            hold=900.0,
        ),
    ),
    (
        b'{"type":"refused","code":34,"message":"the remote does not accept this token"}',
        RefusedMessage(code=Code.BAD_TOKEN, message="the remote does not accept this token"),
    ),
    (
        b'{"type":"services","services":[{"name":"default","address":"203.0.113.7:9000"}]}',
        Services(services=[Service(name="default", address="203.0.113.7:9000")]),
    ),
    (
        b'{"type":"goodbye","reason":"the remote was stopped","grace":30.0}',
        Goodbye(reason="the remote was stopped", grace=30.0),
    ),
]


@pytest.mark.parametrize(("body", "message"), OLD_MESSAGES)
def test_what_the_old_version_sends_is_understood(body, message):
    assert MessageDecoder().feed(len(body).to_bytes(4, "big") + body) == [message]


@pytest.mark.parametrize("message", [message for _, message in OLD_MESSAGES])
def test_without_new_members_the_old_version_understands_all(message):
    seen = msgspec.json.decode(encode(message)[4:], type=OldMessage)
    for name in seen.__struct_fields__:
        theirs, ours = getattr(seen, name), getattr(message, name)
        if name == "services":
            theirs = [(service.name, service.address) for service in theirs]
            ours = [(service.name, service.address) for service in ours]
        assert theirs == ours


SERVICES = [
    Service(name="ssh", port=2222, share="failover"),
    Service(name="game", ports="50000-50100", share="balance", sticky=True),
    Service(name="www", host="www.example.com", protocol="tls"),
]
REFUSED = [RefusedService(name="ssh", code=Code.NOT_ALLOWED, message="port 2222 is not allowed")]


@pytest.mark.parametrize(
    "message",
    [
        Services(services=SERVICES),
        Services(services=[], refused=REFUSED),
        Welcome(proof="", instance="", services=[], hold=1.0, refused=REFUSED),
        msgspec.structs.replace(OLD_MESSAGES[0][1], services=SERVICES),
        msgspec.structs.replace(OLD_MESSAGES[0][1], services_follow=True),
        Welcome(proof="", instance="", services=[], hold=1.0, max_services=1024),
        Welcome(proof="", instance="", services=[], hold=1.0, agent="quictunnel/2", time=1.5e9),
        Services(services=SERVICES, part=1, parts=2),
    ],
)
def test_the_old_version_ignores_new_members(message):
    seen = msgspec.json.decode(encode(message)[4:], type=OldMessage)
    assert [service.name for service in seen.services] == [
        service.name for service in message.services
    ]


def test_the_old_version_ignores_the_proof_of_a_refusal():
    message = RefusedMessage(code=Code.SERVICE_TAKEN, message="taken", proof=PROOF)
    seen = msgspec.json.decode(encode(message)[4:], type=OldMessage)
    assert seen == OldRefused(code=Code.SERVICE_TAKEN, message="taken")


def test_the_longest_lists_of_services_fit_a_message():
    name, sentence = "n" * 63, "s" * 255
    granted = Service(name=name, ports="50000-50100", address="h" * 261)
    refused = RefusedService(name=name, code=Code.NOT_ALLOWED, message=sentence)
    for count in (0, MAX_SERVICES):
        answer = Services(services=[granted] * count, refused=[refused] * (MAX_SERVICES - count))
        assert len(encode(answer)) <= MAX_MESSAGE


@pytest.mark.parametrize(
    "service",
    [
        {"name": "a", "port": 65536},
        {"name": "a", "port": -1},
        {"name": "a", "port": "22"},
        {"name": "a", "ports": "22"},
        {"name": "a", "ports": "auto"},
        {"name": "a", "share": 1},
        {"name": "a", "share": "b" * 64},
        {"name": "a", "sticky": "yes"},
    ],
)
def test_a_member_of_the_wrong_type_is_a_violation(service):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(service, type=Service)
