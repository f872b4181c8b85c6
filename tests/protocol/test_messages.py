from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.errors import ProtocolError
from quictunnel.protocol.messages import (
    MAX_MESSAGE,
    MAX_SERVICES,
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    Service,
    Services,
    Welcome,
    encode,
)

WEB = Service(name="web")

HELLO = Hello(
    version=1,
    agent="quictunnel/0.1",
    name="laptop",
    token_id="t1",
    proof="ab" * 32,
    services=[WEB],
    hold=900.0,
)
WELCOME = Welcome(
    proof="cd" * 32,
    instance="c0ffee",
    services=[Service(name="web", address="198.51.100.1:9000")],
    hold=900.0,
)
ALL = [
    HELLO,
    WELCOME,
    RefusedMessage(code=0x22, message="token not accepted"),
    Services(services=[WEB, Service(name="ssh")]),
    Goodbye(reason="draining", grace=30.0),
]


def frame(body):
    return len(body).to_bytes(4, "big") + body


def as_json(**fields):
    return frame(json.dumps(fields).encode())


def hello_with(**fields):
    known = json.loads(encode(HELLO)[4:])
    return as_json(**(known | fields))


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written(message):
    assert MessageDecoder().feed(encode(message)) == [message]


def test_messages_arrive_byte_by_byte():
    decoder = MessageDecoder()
    stream = b"".join(encode(message) for message in ALL)
    assert [m for byte in stream for m in decoder.feed(bytes([byte]))] == ALL


def test_many_messages_arrive_at_once_and_the_rest_later():
    decoder = MessageDecoder()
    stream = b"".join(encode(message) for message in ALL)
    assert decoder.feed(stream[:-1]) == ALL[:-1]
    assert decoder.feed(b"") == []
    assert decoder.feed(stream[-1:]) == ALL[-1:]


def test_the_wire_is_a_length_and_json():
    data = encode(Goodbye(reason="draining", grace=30.0))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert json.loads(data[4:]) == {"type": "goodbye", "reason": "draining", "grace": 30.0}


def test_optional_fields_may_be_absent():
    data = json.loads(encode(HELLO)[4:])
    del data["hold"]
    (message,) = MessageDecoder().feed(as_json(**data))
    assert message.hold is None
    assert message.services == [WEB]


def test_unknown_fields_are_ignored():
    data = hello_with(colour=["blue"], services=[{"name": "web", "colour": "red"}])
    assert MessageDecoder().feed(data) == [HELLO]


def test_unknown_types_are_skipped():
    stream = as_json(type="dance", partner=[1, 2]) + encode(HELLO) + as_json(type="")
    assert MessageDecoder().feed(stream) == [HELLO]


def test_a_whole_number_of_seconds_is_welcome():
    assert MessageDecoder().feed(hello_with(hold=900)) == [HELLO]


BAD = {
    "length 0": frame(b""),
    "length beyond the limit": (MAX_MESSAGE + 1).to_bytes(4, "big"),
    "a TLS record": b"\x16\x03\x01\x02",
    "not JSON": frame(b"hello"),
    "cut JSON": frame(b'{"type":"hello"'),
    "two objects": frame(b'{"type":"x"}{"type":"x"}'),
    "an array": frame(b'["hello"]'),
    "null": frame(b"null"),
    "no type": as_json(name="laptop"),
    "a type that is a number": as_json(type=1),
    "two types": frame(b'{"type":"x","type":"hello"}'),
    "not UTF-8": frame(b'{"type":"\xff"}'),
    "not UTF-8 in a known field": encode(HELLO).replace(b"laptop", b"lapto\xff"),
    "half a surrogate pair": frame(b'{"type":"goodbye","grace":1,"reason":"\\ud800"}'),
    "arrays in arrays": frame(b'{"type":"hello","x":' + b"[" * 60_000),
    "objects in objects": frame(b'{"type":"x","x":' + b'{"x":' * 12_000 + b"1" + b"}" * 12_001),
    "a field missing": as_json(type="refused", code=1),
    "text for a number": hello_with(version="1"),
    "a number for text": hello_with(name=1),
    "true for a number": hello_with(version=True),
    "a version below zero": hello_with(version=-1),
    "a number beyond QUIC's": hello_with(version=2**62),
    "a number beyond all": hello_with(version=10**4000),
    "a hold below zero": hello_with(hold=-1),
    "a hold for ever": hello_with(hold=1e300),
    "infinity": hello_with(hold=float("inf")),
    "a name too long": hello_with(name="x" * 256),
    "too many services": hello_with(services=[{"name": "x"}] * (MAX_SERVICES + 1)),
    "services that are no list": hello_with(services={"name": "web"}),
    "a service without a name": hello_with(services=[{}]),
    "a service with no name": hello_with(services=[{"name": ""}]),
    "a service in capitals": hello_with(services=[{"name": "Web"}]),
    "a service with a line": hello_with(services=[{"name": "web\n"}]),
    "a service too long": hello_with(services=[{"name": "x" * 64}]),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_message_is_the_peers_fault(data):
    with pytest.raises(ProtocolError):
        MessageDecoder().feed(data)


def test_a_complaint_neither_repeats_all_that_the_peer_sent_nor_its_control_characters():
    two_types = frame(b'{"type":"\\u001b[2J' + b"y" * 9999 + b'","type":"hello"}')
    with pytest.raises(ProtocolError) as caught:
        MessageDecoder().feed(two_types)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_message_as_long_as_allowed_is_read():
    body = json.dumps({"type": "dance", "x": ""}).encode()
    padding = MAX_MESSAGE - len(body)
    assert MessageDecoder().feed(as_json(type="dance", x="y" * padding) + encode(HELLO)) == [HELLO]


@pytest.mark.parametrize(
    "longest",
    [
        Service(name="x" * 63, host="x" * 253, protocol="http"),
        Service(name="x" * 63, address="x" * 261),
    ],
    ids=["asked for", "granted"],
)
def test_the_longest_list_of_services_fits(longest):
    message = Services(services=[longest] * MAX_SERVICES)
    assert MessageDecoder().feed(encode(message)) == [message]


@pytest.mark.parametrize(
    "message",
    [
        Services(services=[Service(name="Web")]),
        Services(services=[WEB] * (MAX_SERVICES + 1)),
        Goodbye(reason="x" * 1025, grace=1.0),
        Goodbye(reason="", grace=float("nan")),
        Goodbye(reason="\ud800", grace=1.0),
        Services(services=[Service(name="web", address="\0" * 261)] * MAX_SERVICES),
    ],
    ids=["name", "services", "sentence", "not a number", "no text", "length"],
)
def test_what_a_peer_would_refuse_is_not_sent(message):
    with pytest.raises(ValueError, match=r".+"):
        encode(message)


words = st.text(st.characters(codec="utf-8"), max_size=255)
numbers = st.integers(0, 2**62 - 1)
seconds = st.floats(0, 366 * 86_400)
services = st.lists(
    st.builds(Service, name=st.from_regex(r"\A[a-z0-9._-]{1,63}\Z"), address=st.none() | words),
    max_size=4,
)
messages = st.one_of(
    st.builds(
        Hello,
        version=numbers,
        agent=words,
        name=words,
        token_id=words,
        proof=words,
        services=services,
        hold=st.none() | seconds,
    ),
    st.builds(Welcome, proof=words, instance=words, services=services, hold=seconds),
    st.builds(RefusedMessage, code=numbers, message=words),
    st.builds(Services, services=services),
    st.builds(Goodbye, reason=words, grace=seconds),
)


@given(st.lists(messages, max_size=3), st.data())
def test_decoding_undoes_encoding_wherever_the_bytes_are_cut(sent, data):
    stream = b"".join(map(encode, sent))
    cut = data.draw(st.integers(0, len(stream)))
    decoder = MessageDecoder()
    assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == sent


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        "version",
        "agent",
        "name",
        "token_id",
        "proof",
        "services",
        "hold",
        "code",
        "message",
        "grace",
    ]
)
types = st.sampled_from(["hello", "welcome", "refused", "services", "goodbye", "other"])


@given(
    st.one_of(
        st.binary(),
        st.binary(min_size=1).map(frame),
        any_json.map(lambda value: frame(json.dumps(value).encode())),
        st.builds(
            lambda kind, rest: as_json(**(rest | {"type": kind})),
            types,
            st.dictionaries(fields, any_json),
        ),
        st.builds(
            lambda message, at, byte: encode(message)[:at] + byte + encode(message)[at + 1 :],
            messages,
            st.integers(4, 200),
            st.binary(min_size=1, max_size=1),
        ),
    )
)
def test_no_bytes_raise_anything_but_the_one_error(data):
    decoder = MessageDecoder()
    try:
        decoder.feed(data)
    except ProtocolError:
        return
