"""Version probes: their bytes, and the answers of both engines."""

from __future__ import annotations

import pytest

from quictunnel.config.certificates import load_pair
from quictunnel.config.state import load_or_make_certificate
from quictunnel.quic.engine import Path
from quictunnel.quic.engines.selection import select
from quictunnel.quic.path.version_probe import (
    ID_SIZE,
    MIN_PROBE_SIZE,
    VERSION_1,
    decode_answer,
    encode,
    encode_small,
)
from quictunnel.quic.settings import LinkSettings, ServerTls
from testkit.engines import ENGINES

IDENTIFICATION = bytes(range(ID_SIZE))

PATH = Path("192.0.2.1", 4433, b"")


@pytest.fixture(params=ENGINES)
def endpoint(request, tmp_path):
    """An endpoint that accepts connections."""
    pair = load_pair(*load_or_make_certificate(tmp_path))
    kind = select(request.param, None)
    tls = ServerTls(pair.chain, pair.key)
    return kind.endpoint(LinkSettings(), server_tls=tls, streams=1, now=0.0)


@pytest.mark.parametrize("size", [MIN_PROBE_SIZE, 1452])
def test_every_engine_answers(endpoint, size):
    endpoint.receive([(encode(IDENTIFICATION, size), PATH)], 0.0)
    ((answer, _),) = endpoint.transmit()
    identification, versions = decode_answer(bytes(answer))
    assert identification == IDENTIFICATION
    assert VERSION_1 in versions


def test_no_engine_answers_a_probe_that_is_too_small(endpoint):
    endpoint.receive([(encode(IDENTIFICATION, MIN_PROBE_SIZE - 1), PATH)], 0.0)
    assert not endpoint.transmit()


def test_every_engine_answers_a_small_packet_of_no_connection(endpoint):
    endpoint.receive([(encode_small(), PATH)], 0.0)
    ((answer, _),) = endpoint.transmit()
    assert decode_answer(bytes(answer)) is None


def test_a_probe_has_the_size_asked_for():
    assert [len(encode(IDENTIFICATION, size)) for size in (MIN_PROBE_SIZE, 1472)] == [
        MIN_PROBE_SIZE,
        1472,
    ]


GOOD = bytes([0x80]) + bytes(4) + b"\x08" + IDENTIFICATION + b"\x08" + bytes(8)


def test_an_answer_without_versions():
    assert decode_answer(GOOD) == (IDENTIFICATION, [])


def test_an_answer_whose_last_version_is_cut():
    assert decode_answer(GOOD + b"\0\0\0\1\0\0") == (IDENTIFICATION, [VERSION_1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        bytes([0x40]) + GOOD[1:],
        GOOD[:1] + b"\0\0\0\1" + GOOD[5:],
        GOOD[:5] + b"\x09" + GOOD[6:],
        GOOD[:14] + b"\x00" + GOOD[15:],
    ],
    ids=["empty", "cut", "short header", "version 1", "long id", "no source id"],
)
def test_other_packets_are_no_answers(data):
    assert decode_answer(data) is None
