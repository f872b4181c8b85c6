"""Lists of services that are longer than a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config import services as settings
from quictunnel.errors import ProtocolError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    MAX_PARTS,
    MAX_SERVICES,
    MessageDecoder,
    RefusedService,
    Service,
    Services,
    encode,
)
from quictunnel.protocol.service_list import MAX_LISTED, ServiceListJoiner, split_list


def granted(count):
    return [Service(name=f"s{number}", address="[::]:1") for number in range(count)]


def refused(count):
    return [
        RefusedService(name=f"r{number}", code=Code.NOT_ALLOWED, message="no")
        for number in range(count)
    ]


@given(st.integers(0, MAX_LISTED), st.integers(0, MAX_LISTED))
def test_parts_are_joined_to_the_list_that_was_split(services, others):
    parts = split_list(granted(services), refused(others))
    received = MessageDecoder().feed(b"".join(map(encode, parts)))
    joiner = ServiceListJoiner()
    *incomplete, joined = [joiner.add(message) for message in received]
    assert incomplete == [None] * (len(parts) - 1)
    assert (joined.services, joined.refused) == (granted(services), refused(others))


def test_a_list_that_fits_is_one_message_as_version_0_1_0_knows_it():
    (message,) = split_list(granted(MAX_SERVICES))
    assert message == Services(services=granted(MAX_SERVICES))
    assert b"part" not in encode(message)


def test_the_longest_list_has_few_parts():
    name, sentence = "n" * 63, "s" * 255
    services = [Service(name=name, address="h" * 261)] * (MAX_LISTED // 2)
    reasons = [RefusedService(name=name, code=1, message=sentence)] * (MAX_LISTED // 2)
    parts = split_list(services, reasons)
    assert len(parts) == MAX_LISTED // MAX_SERVICES
    assert len(parts) <= MAX_PARTS
    for message in parts:
        encode(message)


def test_one_list_follows_another():
    joiner = ServiceListJoiner()
    for count in (300, 1, 200):
        *_, joined = [joiner.add(message) for message in split_list(granted(count))]
        assert joined.services == granted(count)


def numbered(*numbers):
    return [Services(services=[], part=part, parts=parts) for part, parts in numbers]


@pytest.mark.parametrize(
    "messages",
    [
        numbered((2, 2)),
        numbered((1, 3), (3, 3)),
        numbered((1, 2), (1, 2)),
        numbered((1, 2), (2, 3)),
        numbered((2, 1)),
        numbered((1, None)),
        numbered((None, 2)),
        [*numbered((1, 2)), Services(services=[])],
        [*numbered((1, 1)), *numbered((2, 2))],
    ],
)
def test_a_part_that_is_not_due_is_a_violation(messages):
    joiner = ServiceListJoiner()
    *before, last = messages
    for message in before:
        joiner.add(message)
    with pytest.raises(ProtocolError, match=r"was due$"):
        joiner.add(last)


@pytest.mark.parametrize("fields", [{"services": granted(128)}, {"refused": refused(128)}])
def test_a_list_is_bounded(fields):
    joiner = ServiceListJoiner()
    message = {"services": [], "parts": MAX_PARTS, **fields}
    full = MAX_LISTED // MAX_SERVICES
    for number in range(full):
        joiner.add(Services(**message, part=number + 1))
    with pytest.raises(ProtocolError, match=f"more than {MAX_LISTED} services"):
        joiner.add(Services(**message, part=full + 1))


def test_an_origin_may_have_as_many_services_as_a_list():
    assert settings.MAX_SERVICES == MAX_LISTED
