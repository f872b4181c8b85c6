"""The words for the ends of clients and links."""

from __future__ import annotations

import pytest

from quictunnel.errors import LinkForgotten, LinkLost
from quictunnel.events import ClientEnding, LinkEnding, RefusalKind
from quictunnel.protocol.codes import Code
from quictunnel.quic.link import PEER_ENDED
from quictunnel.relay.relay import Ending
from quictunnel.session.endings import client_ending, code_ending, link_ending, refusal_kind

UNKNOWN = 0xBEEF

FAULTS = {Code.INTERNAL, Code.BAD_PREAMBLE}
"""Codes of streams that are due to an error of the program or its peer."""


def test_each_code_of_a_client_has_a_word_of_its_own():
    codes = [code for code in Code if 0x10 <= code < 0x20 and code not in FAULTS]
    words = [code_ending(code) for code in codes]
    assert len(set(words)) == len(codes)
    assert ClientEnding.ERROR not in words


@pytest.mark.parametrize("code", [*FAULTS, UNKNOWN, None])
def test_faults_and_unknown_codes_are_errors(code):
    assert code_ending(code) is ClientEnding.ERROR


@pytest.mark.parametrize(
    ("ending", "code", "word"),
    [
        (Ending.IN_ORDER, Code.NO_ERROR, ClientEnding.EOF),
        (Ending.TCP_LOST, Code.CLIENT_RESET, ClientEnding.RESET_BY_CLIENT),
        (Ending.TCP_LOST, Code.ORIGIN_RESET, ClientEnding.RESET_BY_SERVER),
        (Ending.STREAM_RESET, Code.ORIGIN_REFUSED, ClientEnding.SERVER_REFUSED),
        (Ending.LINK_LOST, None, ClientEnding.LINK_LOST),
        (Ending.LINK_LOST, Code.PROTOCOL_VIOLATION, ClientEnding.LINK_LOST),
        (Ending.CUT, Code.IDLE_TIMEOUT, ClientEnding.IDLE_TIMEOUT),
        (Ending.CUT, Code.TAKEN_OVER, ClientEnding.LINK_LOST),
        (Ending.CLOSED, Code.CUT_SHORT, ClientEnding.CLOSED),
    ],
)
def test_the_end_of_a_relay_has_a_word(ending, code, word):
    assert client_ending(ending, code) is word


@pytest.mark.parametrize(
    ("exc", "closed_with", "word"),
    [
        (None, Code.GOODBYE, LinkEnding.GOODBYE),
        (None, Code.NO_ERROR, LinkEnding.CLOSED),
        (None, None, LinkEnding.CLOSED),
        (LinkLost(Code.GOODBYE, "x"), None, LinkEnding.GOODBYE),
        (LinkLost(Code.TAKEN_OVER, "x"), None, LinkEnding.TAKEN_OVER),
        (LinkLost(Code.BAD_TOKEN, "x"), None, LinkEnding.REFUSED),
        (LinkLost(Code.PROTOCOL_VIOLATION, "x"), None, LinkEnding.VIOLATED),
        (LinkLost(UNKNOWN, "x"), None, LinkEnding.CLOSED),
        (LinkLost(None, "nothing heard"), None, LinkEnding.LOST),
        (LinkLost(None, PEER_ENDED), None, LinkEnding.PEER_ENDED),
        (LinkForgotten(None, "reset"), None, LinkEnding.FORGOTTEN),
    ],
)
def test_the_end_of_a_link_has_a_word(exc, closed_with, word):
    assert link_ending(exc, closed_with) is word


def test_a_refusal_with_an_unknown_code_has_a_word_too():
    assert refusal_kind(Code.SERVICE_TAKEN) is RefusalKind.SERVICE_TAKEN
    assert refusal_kind(UNKNOWN) is refusal_kind(None) is RefusalKind.OTHER
